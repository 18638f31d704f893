"""The probe: measures the local geometry of the loss, asks the theory, and hands over records."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import distributed, nn

from ..theory.protocol import Theory
from ..theory.statistics import Statistics
from ..theory.transitions import TransitionTracker
from .curvature.block import Block
from .curvature.distributed import Processes, gathered, group_of
from .curvature.losses import Loss
from .curvature.observe import undisturbed, unwrap
from .estimate import Estimate
from .measurement import Measurement
from .probing import Probing, Sample, SampleKind, Setup, default_blocks, named_blocks
from .records.record import Record
from .records.sink import Sink, deliver
from .stability import LearningRate
from .tracking import Tracker

__all__ = ["SpectralProbe"]


class SpectralProbe:
    """Attach to any training loop: call it with the number of steps taken.

    A probing leaves no trace in the training: weights, optimiser, ``.grad``, modes and torch's
    generators are bit for bit what they would be without it. All its randomness derives from
    (seed, step), and what else a record depends on is in `state_dict`, so that it can be taken
    again from a checkpoint.

    Args:
        model: any module. One that is a `HeadModel` gets hand-written products.
        loss: of (outputs, targets), the mean over samples, twice differentiable.
        sample: the probe sample: a batch (inputs, targets), or a function that draws one from a
            generator.
        sinks: receive every record.
        theory: predicts; without it everything is measured that can be.
        blocks: of parameters, one spectrum each for Hessian and information matrix; default: each
            direction of a `HeadModel`, or all parameters together.
        rare_blocks: blocks measured at thorough probings only.
        measurement: what is measured, and how closely.
        seed: of the probe samples and of the Lanczos starts.
        sample_kind: what the sample is to the training. Predictions hold for samples independent
            of the weights: none is made for "training".
        process_group: the processes that measure together, each on its own samples: those of a
            function ``sample`` are drawn independently, a batch is this process's share. All of
            them must call the probe, and get the same record; the first writes it to its sinks.
            Default: the group of a model in `DistributedDataParallel`, otherwise this process
            alone.
        skeleton: for a model sharded by `fully_shard`: the same module unsharded, best on the meta
            device. Every process then gathers all parameters for the time of a probing.
        learning_rate: the SGD optimiser, or a function of the step: the sharpness is compared with
            the one at which its steps grow. It is read and never changed.
        every: as a callback, probe at the start and after every so many epochs.
        thorough_epochs: epochs (0 is the start) at which a probing as a callback is thorough: it
            takes ``measurement.draws`` samples, and the rare blocks too.
        on_failure: "record" writes the reason into the record and lets the training go on;
            "raise" also raises. A sink that fails keeps the record from no other sink; it is told
            of by a warning, or raised.

    Raises:
        ValueError: naming the argument: an empty or unknown block, an empty batch, ...
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        sample: Sample,
        *,
        sinks: Sequence[Sink] = (),
        theory: Theory | None = None,
        blocks: Sequence[Block] | None = None,
        rare_blocks: Sequence[Block] = (),
        measurement: Measurement | None = None,
        seed: int = 0,
        sample_kind: SampleKind = "fresh",
        process_group: distributed.ProcessGroup | None = None,
        skeleton: nn.Module | None = None,
        learning_rate: LearningRate | None = None,
        every: int = 1,
        thorough_epochs: Collection[int] = (),
        on_failure: Literal["record", "raise"] = "record",
    ) -> None:
        module = unwrap(model) if skeleton is None else skeleton
        self.setup = Setup(
            model=model,
            loss=loss,
            sample=sample,
            theory=theory,
            blocks=named_blocks(default_blocks(module) if blocks is None else blocks, module),
            rare_blocks=named_blocks(rare_blocks, module),
            measurement=measurement or Measurement(),
            seed=seed,
            sample_kind=sample_kind,
            learning_rate=learning_rate,
            processes=Processes(
                process_group or group_of(model), next(unwrap(model).parameters()).device
            ),
        )
        if on_failure not in ("record", "raise"):
            raise ValueError(f"on_failure: expected 'record' or 'raise', got {on_failure!r}")
        if every < 1:
            raise ValueError(f"every: expected at least 1, got {every}")
        if theory is not None:
            theory.reference(module)  # refuses a model that it does not describe
        self.sinks, self.skeleton, self.on_failure = tuple(sinks), skeleton, on_failure
        self.every, self.thorough_epochs = every, frozenset(thorough_epochs)
        self._tracker = Tracker()
        self._transitions = TransitionTracker()
        self._initial: tuple[int, Statistics] | None = None

    def __call__(self, step: int, epoch: float = math.nan, *, thorough: bool = False) -> Record:
        """Probe now.

        Args:
            step: optimiser steps taken so far.
            epoch: epochs finished, for the record.
            thorough: take ``measurement.draws`` probe samples, and the rare blocks too.

        Returns:
            The record, which every sink has received.

        Raises:
            Exception: what a probing, or a sink, failed with, if ``on_failure`` is "raise"; the
                other sinks have the record.
        """
        theory, processes = self.setup.theory, self.setup.processes
        clock = theory.time(step) if theory else math.nan
        directions = theory.directions if theory else ()
        probing = Probing(self.setup, Record(step, epoch, clock, directions), thorough)
        failure: Exception | None = None
        with undisturbed(self.setup.model) as trained:
            try:
                with self._whole(trained) as module:
                    probing.measure(module, self._tracker)
                if theory is not None and self.setup.sample_kind != "training":
                    with processes.agreed():
                        probing.predict(theory, self._transitions)
                        self._forecast(theory, probing)
            except Exception as error:  # whatever it is, the training must not pay for it
                failure = error
                probing.keep(failure=f"{type(error).__name__}: {error}")
        record = probing.record
        with processes.agreed():
            if processes.rank == 0:
                deliver(record, self.sinks, self.on_failure)
        if failure is not None and self.on_failure == "raise":
            raise failure
        return record

    def estimate(self) -> Estimate:
        """What a probing that is not thorough will take, from trial products of each block.

        Takes some passes over a probe sample and, with theory, one prediction. Nothing is recorded
        and the training is left as it was. All processes of a group must call it.

        Raises:
            Exception: what the probing would fail with.
        """
        with undisturbed(self.setup.model) as trained, self._whole(trained) as module:
            return Probing(self.setup, Record(0), thorough=False).estimate(module)

    def _whole(self, trained: nn.Module) -> AbstractContextManager[nn.Module]:
        return gathered(trained, self.skeleton) if self.skeleton else nullcontext(trained)

    def _forecast(self, theory: Theory, probing: Probing) -> None:
        assert probing.statistics is not None
        if self._initial is None:
            self._initial = probing.record.step, probing.statistics
        start, initial = self._initial
        probing.forecast(theory, initial, theory.time(probing.record.step - start))

    def on_train_start(self, step: int, epoch: int) -> None:
        """Probe before the first step (not when a run is continued)."""
        if epoch == 0:
            self(step, epoch, thorough=0 in self.thorough_epochs)

    def on_step_end(self, step: int, epoch: int) -> None:
        """Nothing."""

    def on_epoch_end(self, step: int, epoch: int) -> None:
        """Probe after every so many epochs."""
        if epoch % self.every == 0:
            self(step, epoch, thorough=epoch in self.thorough_epochs)

    def on_train_end(self, step: int, epoch: int) -> None:
        """Nothing: sinks are closed by who opened them."""

    def state_dict(self) -> dict[str, Any]:
        """What later records depend on: the initial statistics, and what was seen last."""
        initial = None
        if self._initial is not None:
            step, statistics = self._initial
            initial = {
                "step": step,
                "gram": torch.from_numpy(statistics.gram),
                "parameters": torch.from_numpy(statistics.parameters),
            }
        return {
            "initial": initial,
            "transitions": self._transitions.state_dict(),
            "tracker": self._tracker.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        initial = state["initial"]
        self._initial = initial and (
            initial["step"],
            Statistics(initial["gram"].numpy(), initial["parameters"].numpy()),
        )
        self._transitions.load_state_dict(state["transitions"])
        self._tracker.load_state_dict(state["tracker"])
