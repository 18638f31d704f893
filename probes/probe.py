"""The probe: measures the local geometry of the loss, asks the theory, and hands over records."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, distributed, nn

from ..models.arguments import require_arguments
from ..theory.matrix_kind import HESSIAN
from ..theory.protocol import SampleKind, Statistics, Theory
from ..theory.source import Source
from ..theory.transitions import TransitionTracker
from .alike import described, fingerprints
from .budget import Budget, Meter
from .curvature.block import Block
from .curvature.distributed import gathered, group_of
from .curvature.layers import Layers
from .curvature.losses import Loss
from .curvature.matrix import CurvatureMatrix, Hessian, Information
from .curvature.observe import Mode, Observed, undisturbed
from .curvature.precision import require_precision
from .curvature.processes import Processes
from .curvature.wrappers import require_whole, unwrap
from .derivative_check import DerivativeCheck
from .estimate import Estimate
from .measure import Measure
from .measurement import Measurement
from .notices import Notices
from .probing import Probing
from .probing_estimate import probing_estimate
from .quantity_state import quantity_of, quantity_state
from .records.citation import bibtex
from .records.log_folder import LogFolder
from .records.record import Record
from .records.sink import Sink, deliver
from .records.sources import sources
from .schedules import EveryEpochs, Schedule
from .second_derivative import SecondDerivative
from .setup import Sample, Setup, chosen_blocks, default_measurement
from .stability import LearningRate
from .tracking import Tracker

__all__ = ["SpectralProbe"]

# Parameters of a model beside whose own the eigenvectors are no burden in a checkpoint.
_FEW = 10**6


class SpectralProbe:
    """Attach to any training loop: call it with the number of steps taken.

    A probing leaves no trace in the training: weights, buffers and whatever else the code of model
    and loss writes, optimiser, ``.grad``, modes, and the generators of torch, Python and NumPy are
    bit for bit what they would be without it, or it fails with the name of what would not. All its
    randomness derives from (seed, step), and what else a record depends on is in `state_dict`, so
    that it can be taken again from a checkpoint.

    Args:
        model: any module. One that is a `HeadModel` gets hand-written products.
        loss: of (outputs, targets), the mean over samples, twice differentiable. One with weights,
            masks or counts of its own is a `WeightedMean`, which some losses of torch are known as.
        sample: the probe sample: a batch (inputs, targets), or what stands for one or several:
            a mapping or a graph's ``Data`` (the model gets the fields that its forward takes, or
            the ``Data``; the loss all of it as targets), a list of batches, a `DataLoader` or
            dataset, or a function that draws any of these from a generator. Several batches are
            measured as micro-batches, one after another. A loader is never iterated over: its
            items are read past it, the same at every step, see `Loaded`.
        max_samples: most samples; default: all that is given, 1024 of a loader or dataset.
        sinks: receive every record; who made them closes them.
        logdir: a folder for a record file and TensorBoard's events, in which the tab Spectrum finds
            the run. It comes before the other sinks, and `close` closes it. The first probing opens
            it: behind the last record that a loaded state knows of, later ones are dropped; without
            a state a folder with records is refused.
        theory: predicts; without it everything is measured that can be.
        blocks: of parameters, one spectrum each for every matrix: a list of them, or "layers",
            "modules" or a depth for those of `layer_blocks`; default: each direction of a
            `HeadModel`, or all parameters together.
        rare_blocks: blocks measured at thorough probings only.
        matrices: whose spectra are taken of each block, in this order.
        measures: take further quantities; each fails alone. Of several processes the first one
            takes them, of the samples of all.
        measurement: what is measured, and how closely; default: `Measurement.moderate`, but
            `Measurement.cheap` of a module that is no `HeadModel` and comes without theory.
        seed: of the probe samples and of the Lanczos starts.
        sample_kind: what the sample is to the training. A theory says for which kinds its
            predictions hold: none is made for others.
        process_group: the processes that measure together, each on its own samples: those of a
            function ``sample`` are drawn independently, a batch is this process's share, which
            may be empty. All of them must make and call the probe, alike: settings and weights
            are compared. They get the same record; the first writes it to its sinks. One that
            does not come within half the group's timeout fails the probing on the others.
            Default: the group of a model in `DistributedDataParallel` or sharded by `fully_shard`,
            otherwise this process alone.
        skeleton: for a model sharded by `fully_shard`: the same module unsharded, best on the meta
            device. Every process then gathers all parameters for the time of a probing.
        learning_rate: the optimiser, or a function of the step: the sharpness, preconditioned as
            the steps are, is compared with the one at which they grow, see `critical_curvature`.
            It is read and never changed.
        run_hooks: whether the user's hooks on the modules of model and loss are run, as they must
            be where one changes what the model returns. Otherwise they are left out, as if they had
            never been registered, which is warned of once. `Record.hooks` names them.
        mode: "eval" measures the loss of evaluation: batch norm by its running statistics, no
            dropout. "train" that of the training: the batch's statistics, and dropout with the same
            mask throughout a probing; modules are then in the modes the training has them in, or
            all in training mode if the model is not.
        dtype: measure in copies of this dtype, float32 or float64, as a model of half precision has
            to be; default: in the parameters' own, which must be one of these.
        check_first: at the first probing, compare second derivatives with differences of gradients;
            see `check`. Otherwise that is done once a Hessian has been taken through what may
            have others: a `torch.autograd.Function`, or a value computed from parameters without
            a gradient. What differs is among the failures of every record.
        every: as a callback, and in `maybe`, probe at the start and after every so many epochs, or
            by a `Schedule`.
        budget: what a probing may take before it ends early with what it has.
        thorough_epochs: epochs (0 is the start) at which a probing as a callback is thorough: it
            takes ``measurement.draws`` samples, and the rare blocks too.
        on_failure: "record" writes the reason into the record, warns of the first failure of each
            kind and lets the training go on; "raise" raises the first. Whatever fails costs itself
            alone: a record holds all that could be had. A sink that fails keeps the record from no
            other sink; it is told of by a warning, or raised.

    Raises:
        ValueError: naming the argument: an empty or unknown block, an empty batch, parameters of
            neither float32 nor float64, ...
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        sample: Sample,
        *,
        max_samples: int | None = None,
        sinks: Sequence[Sink] = (),
        logdir: str | os.PathLike[str] | None = None,
        theory: Theory[Any] | None = None,
        blocks: Sequence[Block] | Layers | None = None,
        rare_blocks: Sequence[Block] = (),
        matrices: Sequence[CurvatureMatrix] = (Hessian(), Information()),
        measures: Sequence[Measure] = (),
        measurement: Measurement | None = None,
        seed: int = 0,
        sample_kind: SampleKind = "fresh",
        process_group: distributed.ProcessGroup | None = None,
        skeleton: nn.Module | None = None,
        learning_rate: LearningRate | None = None,
        run_hooks: bool = False,
        mode: Mode = "eval",
        dtype: torch.dtype | None = None,
        check_first: bool = False,
        every: int | Schedule = 1,
        budget: Budget | None = None,
        thorough_epochs: Collection[int] = (),
        on_failure: Literal["record", "raise"] = "record",
    ) -> None:
        refused_elsewhere = ["sample", "learning_rate"]
        if isinstance(blocks, str | int):  # with what names kinds of blocks
            refused_elsewhere.append("blocks")
        require_arguments(SpectralProbe.__init__, locals(), refused_elsewhere)
        module = unwrap(model) if skeleton is None else skeleton
        devices = (parameter.device for parameter in unwrap(model).parameters())
        processes = Processes(process_group or group_of(model), next(devices, torch.device("cpu")))
        with processes.agreed():
            chosen = chosen_blocks(module, blocks)
            for block in (*chosen, *rare_blocks):
                block.resolve(module)  # refuses a block of no parameters, or of unknown ones
            require_whole(module)
            require_precision(module, dtype)
            self.setup = Setup(
                model=model,
                loss=loss,
                sample=sample,
                theory=theory,
                blocks=chosen,
                rare_blocks=tuple(rare_blocks),
                matrices=tuple(matrices),
                measures=tuple(measures),
                measurement=measurement or default_measurement(module, theory),
                seed=seed,
                sample_kind=sample_kind,
                learning_rate=learning_rate,
                processes=processes,
                max_samples=max_samples,
            )
            if on_failure not in ("record", "raise"):
                raise ValueError(f"on_failure: expected 'record' or 'raise', got {on_failure!r}")
            if not isinstance(every, Schedule) and every < 1:
                raise ValueError(f"every: expected at least 1, got {every}")
            if mode not in get_args(Mode):
                raise ValueError(f"mode: expected one of {list(get_args(Mode))}, got {mode!r}")
            if dtype not in (None, torch.float32, torch.float64):
                raise ValueError(f"dtype: expected float32 or float64, got {dtype}")
        options = {
            "on_failure": on_failure,
            "every": type(every).__name__ if isinstance(every, Schedule) else every,
            "thorough_epochs": sorted(thorough_epochs),
            "mode": mode,
            "dtype": dtype,
            "run_hooks": run_hooks,
            "check_first": check_first,
            "skeleton": skeleton is not None,
        }
        processes.alike("the making of the probe", described(self.setup, module, options))
        self.sinks, self.skeleton, self.on_failure = tuple(sinks), skeleton, on_failure
        self.mode, self.dtype, self.run_hooks = mode, dtype, run_hooks
        self.schedule = every if isinstance(every, Schedule) else EveryEpochs(every)
        self.budget, self.thorough_epochs = budget or Budget(), frozenset(thorough_epochs)
        self._seconds = math.inf
        self._loss: Tensor | None = None
        self._last: int | None = None
        self._tracker = Tracker()
        self._transitions = TransitionTracker()
        self._initial: tuple[int, Statistics] | None = None
        self._notices = Notices()
        self._derivative_check = DerivativeCheck(self.setup, check_first)
        self._sources: dict[Source, None] = {}
        self._folder_open = False
        self._resumed: int | None = None
        self._attached = ExitStack()
        if theory is not None:
            self._attached.enter_context(theory.attach(module))
        self._folder = None if logdir is None else LogFolder(logdir)
        if self._folder is not None and self.setup.processes.rank == 0:
            self.sinks = (self._folder, *self.sinks)
            self._attached.callback(self._folder.close)

    def __call__(self, step: int, epoch: float = math.nan, *, thorough: bool = False) -> Record:
        """Probe now.

        Args:
            step: optimiser steps taken so far.
            epoch: epochs finished, for the record.
            thorough: take ``measurement.draws`` probe samples, and the rare blocks too.

        Returns:
            The record, which every sink has received.

        Raises:
            ValueError: if the step is no number of steps, or ``logdir`` has records of another
                training.
            Exception: what a part of the probing, or a sink, failed with, if ``on_failure`` is
                "raise"; the other sinks have the record.
        """
        require_arguments(SpectralProbe.__call__, locals())
        if step < 0:
            raise ValueError(f"step: expected at least 0, got {step}")
        theory, processes, check = self.setup.theory, self.setup.processes, self._derivative_check
        if processes.alone:  # of several, the first opens it where all hear of what it fails with
            self._open_folder()
        self._last = step
        self.schedule.begun()
        record = Record(step, epoch)
        if theory is not None:
            clock = theory.clock(step)
            record = Record(
                step,
                epoch,
                clock.time,
                clock.label,
                reference=theory.directions,
                sources=theory.sources,
            )
        meter = Meter(self.budget, self._seconds, processes)
        probing = Probing(self.setup, record, thorough, meter)
        call = f"the {'thorough ' if thorough else ''}probing at step {step}"
        with probing.alone("probing"), self._observed(step, call) as observed:
            meter.begin()
            probing.measure(observed.module, self._tracker)
            taken = probing.record.measured.spectra
            if check.always or any(each.matrix == HESSIAN.name for each in taken):
                with probing.alone("check"):
                    check.compare(observed, step)
            mean = observed.weighted_mean
            probing.keep(
                hooks=observed.hooks,
                per="sample" if mean is None else mean.per,
                unreached=tuple(observed.unreached),
                mode=observed.mode,
            )
            self._notices.hooks(observed, stacklevel=2)
            predicting = self.setup.predicting_theory
            if predicting is not None and probing.statistics is not None:
                probing.predict(predicting, self._transitions)
                if self._initial is None:
                    self._initial = step, probing.statistics
                start, initial = self._initial
                probing.forecast(predicting, initial, step - start)
        self._sources |= dict.fromkeys(sources([probing.record]))
        probing.keep(share=self.schedule.share)
        with processes.agreed() if processes.reachable else nullcontext():
            if processes.rank == 0:
                self._open_folder()
                deliver(probing.record, self.sinks, self.on_failure)
        self.schedule.probed(probing.record)
        if probing.errors and self.on_failure == "raise":
            raise probing.errors[0]
        self._notices.outcome(probing, stacklevel=2)
        return probing.record

    def _open_folder(self) -> None:
        """Begin the folder's files, or go on in them, before the first record."""
        if self._folder is not None and not self._folder_open:
            self._folder.open(self._resumed)
            self._folder_open = True

    def maybe(
        self,
        step: int,
        epoch: float = math.nan,
        loss: Tensor | float | None = None,
        *,
        thorough: bool = False,
    ) -> Record | None:
        """Probe if the schedule says so; once at a step. To be called after every step.

        Args:
            step: optimiser steps taken so far.
            epoch: epochs finished, whole or in part.
            loss: of the last batch, for a schedule that reads it.
            thorough: as in a call.
        """
        due, seconds = self._due(step, epoch, loss)
        if not due or step == self._last:
            return None
        self._seconds = seconds
        try:
            return self(step, epoch, thorough=thorough)
        finally:
            self._seconds = math.inf

    def _due(self, step: int, epoch: float, loss: Tensor | float | None) -> tuple[bool, float]:
        """Whether a probing is due, and the seconds it may take: as the first process says."""
        schedule, processes = self.schedule, self.setup.processes
        known = None
        if schedule.reads_loss and loss is not None:
            known = float(loss.detach() if isinstance(loss, Tensor) else loss)
        due = schedule.due(step, epoch, known)
        if processes.alone or schedule.alike:
            return due, schedule.seconds
        first = processes.gather([float(due), schedule.seconds if due else 0.0])[0]
        return bool(first[0]), float(first[1])

    def estimate(self) -> Estimate:
        """What a probing that is not thorough will take, from trial products of each block.

        Takes some passes over a probe sample and, with theory, one prediction. Nothing is recorded
        and the training is left as it was. All processes of a group must call it.

        Raises:
            Exception: what the probing would fail with.
        """
        with self._observed(0, "an estimate") as observed:
            return probing_estimate(self.setup, observed.module)

    def check(self) -> tuple[SecondDerivative, ...]:
        """Each block's H u by autograd beside a difference of gradients, in float64 copies.

        One random direction u each, on the probe sample of step 0. It sees second derivatives that
        are wrong though symmetric, as of a `torch.autograd.Function` that keeps its output as a
        number.

        Raises:
            ValueError: as `HessianOperator`.
        """
        with self._observed(0, "a check") as observed:
            return self._derivative_check.taken(observed, 0)

    def close(self) -> None:
        """Take off what the theory has attached to the model, and close the sinks of ``logdir``.

        Other sinks stay open. A second call does nothing; ``with probe:`` calls it at the end.
        """
        self._attached.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def citation(self) -> str:
        """BibTeX of this software and of the papers that the records so far rest on."""
        return bibtex(self._sources)

    @contextmanager
    def _observed(self, step: int, call: str) -> Iterator[Observed]:
        """The whole model and the loss; noise in them follows from the seed and the step.

        It begins where all processes have come to this call, with the same parameters.
        """
        model, loss, processes = self.setup.model, self.setup.loss, self.setup.processes
        if not processes.alone:
            begun = None if self._initial is None else self._initial[0]
            state = {"state": f"statistics since step {begun}, tracks of {self._tracker.seen}"}
            # The parts of a sharded model differ, and the whole is made of them on each process.
            weights = {} if self.skeleton else fingerprints(unwrap(model))
            processes.alike(call, {**state, **weights})
        seed = self.setup.generator(step, 0, (3, processes.rank)).initial_seed()
        with (
            gathered(model, self.skeleton) if self.skeleton else nullcontext(model) as whole,
            ExitStack() as stack,
        ):
            with processes.agreed():
                observed = stack.enter_context(
                    undisturbed(
                        *(whole, loss),
                        run_hooks=self.run_hooks,
                        seed=seed,
                        mode=self.mode,
                        dtype=self.dtype,
                    )
                )
            yield observed

    def on_train_start(self, step: int, epoch: int) -> None:
        """Probe before the first step (not when a run is continued)."""
        if epoch == 0:
            self.maybe(step, epoch, self._loss, thorough=0 in self.thorough_epochs)
        else:
            self._due(step, epoch, self._loss)  # known from now on, and not made up for

    @property
    def on_loss(self) -> Callable[[Tensor], None] | None:
        """Keeps the loss of a step for the schedule; None for one that reads none."""
        return self._keep_loss if self.schedule.reads_loss else None

    def _keep_loss(self, loss: Tensor) -> None:
        self._loss = loss

    def on_step_end(self, step: int, epoch: int) -> None:
        """Probe if that is due after so many steps."""
        self.maybe(step, epoch, self._loss)

    def on_epoch_end(self, step: int, epoch: int) -> None:
        """Probe if that is due after so many epochs."""
        self.maybe(step, epoch, self._loss, thorough=epoch in self.thorough_epochs)

    def on_train_end(self, step: int, epoch: int) -> None:
        """Nothing: sinks are closed by who opened them."""

    def state_dict(self, vectors: bool | None = None) -> dict[str, Any]:
        """What later records depend on: the initial statistics, and what was seen last.

        Args:
            vectors: whether it holds the eigenvectors found last, two or more for each block and
                matrix, and a copy of the weights; without them eigenvectors are not followed across
                the restart, which a warning then says. Default: for a model of at most a million
                parameters.
        """
        if vectors is None:
            parameters = unwrap(self.setup.model).parameters()
            vectors = sum(each.numel() for each in parameters) <= _FEW
        initial = None
        if self._initial is not None:
            step, statistics = self._initial
            initial = {
                "step": step,
                "quantities": [quantity_state(q) for q in statistics.quantities()],
            }
        return {
            "step": self._last,
            "initial": initial,
            "transitions": self._transitions.state_dict(),
            "tracker": self._tracker.state_dict(vectors),
            "compared": self._derivative_check.state_dict(),
            "schedule": {"kind": type(self.schedule).__name__, **self.schedule.state_dict()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ValueError: if it holds the statistics of a theory, and the probe has none.
        """
        initial, theory = state["initial"], self.setup.theory
        self._initial, self._last = None, state.get("step")
        self._resumed, self._folder_open = self._last, False
        if initial is not None:
            if theory is None:
                raise ValueError("state: expected one of a probe without theory, got one with it")
            quantities = [quantity_of(each) for each in initial["quantities"]]
            self._initial = initial["step"], theory.restore(quantities)
        self._transitions.load_state_dict(state["transitions"])
        self._tracker.load_state_dict(state["tracker"])
        self._derivative_check.load_state_dict(state.get("compared"))
        schedule = state.get("schedule", {})
        if schedule.get("kind") == type(self.schedule).__name__:
            self.schedule.load_state_dict(schedule)
