"""Two processes train through each library, started by torchrun; see test_two_processes.py.

Every loop returns the records that this process wrote, and on the first one what a probe of one
process measures of the same weights on the samples of both.
"""

import copy
import importlib.util
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from spectrain import SpectralProbe, attach

CONFTEST = Path(__file__).with_name("conftest.py")
spec = importlib.util.spec_from_file_location("conftest", CONFTEST)
loops = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loops)

N, CUT = 16, 6  # samples, and how many of them the first process has


def share():
    inputs, targets = loops.samples(N, 2)
    mine = slice(0, CUT) if distributed.get_rank() == 0 else slice(CUT, None)
    return inputs[mine], targets[mine]


def data():
    return TensorDataset(*loops.samples(48, 1))


def judged(parts, kept):
    """The numbers that were written here, and those of all samples at the last weights."""
    probe = SpectralProbe(
        *(parts.model, parts.loss, loops.samples(N, 2)),
        measurement=loops.SMALL,
        sample_kind="held-out",
    )
    written = [loops.numbers(record) for record in kept.records]
    return SimpleNamespace(written=written, alone=loops.numbers(probe(6)))


def sharded():
    """The parts with a model in two halves, and its skeleton; the loader gives each its samples."""
    parts = loops.training()
    skeleton = copy.deepcopy(parts.model).to("meta")
    fully_shard(parts.model, mesh=distributed.init_device_mesh("cpu", (2,)))
    parts.optimiser = torch.optim.SGD(parts.model.parameters(), lr=0.3, momentum=0.9)
    sampler = DistributedSampler(data(), shuffle=False)
    parts.train = DataLoader(data(), batch_size=8, sampler=sampler)
    return parts, skeleton


def gathered(parts, kept):
    """`judged` of the whole weights of a sharded model."""
    whole = {name: value.full_tensor() for name, value in parts.model.state_dict().items()}
    parts.model = loops.network()
    parts.model.load_state_dict(whole)
    return judged(parts, kept)


def arguments(kept):
    return {"sinks": [kept], "measurement": loops.SMALL, "sample_kind": "held-out"}


def plain():
    parts, kept = loops.training(), loops.Kept()
    parallel = DistributedDataParallel(parts.model)
    loader = DataLoader(data(), batch_size=8, sampler=DistributedSampler(data(), shuffle=False))
    parts.train, bare = loader, parts.model
    parts.model = parallel
    with attach(parallel, parts.optimiser, parts.loss, share(), every=3, **arguments(kept)):
        for _ in range(2):
            loops.steps(parts)
    parts.model = bare
    return judged(parts, kept)


def sharded_plain():
    parts, skeleton = sharded()
    kept = loops.Kept()
    given = parts.model, parts.optimiser, parts.loss, share()
    try:
        attach(*given, **arguments(kept))
        said = "nothing"
    except ValueError as error:
        said = str(error)
    options = {"skeleton": skeleton, "learning_rate": parts.optimiser, **arguments(kept)}
    with attach(*given, every=3, **options):
        for _ in range(2):
            loops.steps(parts)
    found = gathered(parts, kept)
    found.said = said
    return found


def ignite():
    from ignite.engine import create_supervised_trainer

    from spectrain.training.integrations.ignite import SpectrumHandler

    parts, kept = loops.training(), loops.Kept()
    parallel = DistributedDataParallel(parts.model)
    loader = DataLoader(data(), batch_size=8, sampler=DistributedSampler(data(), shuffle=False))
    engine = create_supervised_trainer(parallel, parts.optimiser, parts.loss)
    SpectrumHandler(parallel, parts.loss, share(), **arguments(kept)).attach(engine)
    engine.run(loader, max_epochs=2)
    return judged(parts, kept)


def sharded_ignite():
    from ignite.engine import create_supervised_trainer

    from spectrain.training.integrations.ignite import SpectrumHandler

    parts, skeleton = sharded()
    kept = loops.Kept()
    engine = create_supervised_trainer(parts.model, parts.optimiser, parts.loss)
    options = {"skeleton": skeleton, **arguments(kept)}
    SpectrumHandler(parts.model, parts.loss, share(), **options).attach(engine)
    engine.run(parts.train, max_epochs=2)
    return gathered(parts, kept)


def accelerate():
    from accelerate import Accelerator

    from spectrain.training.integrations.accelerate import AcceleratedProbe

    parts, kept = loops.training(), loops.Kept()
    accelerator = Accelerator(cpu=True)
    loader = DataLoader(data(), batch_size=8)
    model, optimiser, loader = accelerator.prepare(parts.model, parts.optimiser, loader)
    assert isinstance(model, DistributedDataParallel)
    with AcceleratedProbe(model, optimiser, parts.loss, share(), every=3, **arguments(kept)):
        for _ in range(2):
            for inputs, targets in loader:
                optimiser.zero_grad()
                accelerator.backward(parts.loss(model(inputs), targets))
                optimiser.step()
    return judged(parts, kept)


def sharded_accelerate():
    """On the CPU accelerate shards no model itself; it takes optimiser and loader of one."""
    from accelerate import Accelerator

    from spectrain.training.integrations.accelerate import AcceleratedProbe

    parts, skeleton = sharded()
    kept = loops.Kept()
    accelerator = Accelerator(cpu=True)
    loader = DataLoader(data(), batch_size=8)
    optimiser, loader = accelerator.prepare(parts.optimiser, loader)
    given = parts.model, optimiser, parts.loss, share()
    with AcceleratedProbe(*given, every=3, skeleton=skeleton, **arguments(kept)):
        for _ in range(2):
            for inputs, targets in loader:
                optimiser.zero_grad()
                accelerator.backward(parts.loss(parts.model(inputs), targets))
                optimiser.step()
    return gathered(parts, kept)


def transformers(folder):
    from transformers import Trainer, TrainingArguments

    from spectrain.training.integrations.transformers import SpectrumCallback

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = parts.model

        def forward(self, x, labels=None):
            logits = self.net(x)
            found = {} if labels is None else {"loss": parts.loss(logits, labels)}
            return found | {"logits": logits}

    parts, kept = loops.training(), loops.Kept()
    rows = [{"x": x, "labels": y} for x, y in zip(*loops.samples(48, 1), strict=True)]
    settings = TrainingArguments(
        str(folder / "trainer"),
        num_train_epochs=2,
        per_device_train_batch_size=8,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        ddp_backend="gloo",
    )
    assert settings.world_size == 2
    schedule = torch.optim.lr_scheduler.LambdaLR(parts.optimiser, lambda step: 1.0)
    trainer = Trainer(
        Classifier(), settings, train_dataset=rows, optimizers=(parts.optimiser, schedule)
    )
    x, y = share()
    SpectrumCallback(
        lambda outputs, labels: nn.functional.cross_entropy(outputs["logits"], labels),
        ({"x": x}, y),
        **arguments(kept),
    ).attach(trainer)
    trainer.train()
    return judged(parts, kept)


def lightning(folder):
    found = _by_lightning(folder, "ddp", loops.training())
    tag = "measured/hessian/all/top_1"
    found.monitored = float(found.trainer.callback_metrics[tag])
    del found.trainer
    return found


def sharded_lightning(folder):
    from lightning.pytorch.strategies import ModelParallelStrategy

    parts = loops.training()
    skeleton = copy.deepcopy(parts.model).to("meta")
    strategy = ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1)
    options = {"skeleton": skeleton, "module": lambda whole: whole.net}
    found = _by_lightning(folder, strategy, parts, shards=True, **options)
    del found.trainer
    return found


def _by_lightning(folder, strategy, parts, shards=False, **options):
    from lightning.pytorch import LightningModule, Trainer

    from spectrain.training.integrations.lightning import SpectrumCallback

    class Module(LightningModule):
        def __init__(self):
            super().__init__()
            self.net = parts.model

        def configure_model(self):
            if shards:
                fully_shard(self.net, mesh=self.device_mesh["data_parallel"])

        def forward(self, inputs):
            return self.net(inputs)

        def training_step(self, batch, index):
            return parts.loss(self(batch[0]), batch[1])

        def validation_step(self, batch, index):
            pass

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.3, momentum=0.9)

    kept = loops.Kept()
    trainer = Trainer(
        accelerator="cpu",
        strategy=strategy,
        devices=2,
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[SpectrumCallback(parts.loss, **arguments(kept), **options)],
    )
    # The first batch for validation: samples 0, 2, ... on the first process, 1, 3, ... on the other
    held_out = DataLoader(TensorDataset(*loops.samples(N, 2)), batch_size=8)
    trainer.fit(Module(), DataLoader(data(), batch_size=8), held_out)
    found = gathered(parts, kept) if shards else judged(parts, kept)
    found.trainer = trainer
    return found


def main(folder):
    warnings.simplefilter("ignore")  # of the libraries
    distributed.init_process_group("gloo")
    rank, found = distributed.get_rank(), {}
    for name in sys.argv[2:]:
        given = (folder,) if "transformers" in name or "lightning" in name else ()
        found[name] = globals()[name](*given)
    torch.save(found, folder / f"{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
