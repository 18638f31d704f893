"""When a probe compares second derivatives with differences of gradients, and what it found."""

from __future__ import annotations

from .curvature.batches import batches_of
from .curvature.observe import Observed
from .second_derivative import SecondDerivative, require_second_derivatives, second_derivative
from .setup import Setup

__all__ = ["DerivativeCheck"]


class DerivativeCheck:
    """The comparison of each block, made once: a matrix that was wrong is so at every step.

    Args:
        setup: of the probe.
        always: whether it is made without a reason for doubt.
    """

    def __init__(self, setup: Setup, always: bool) -> None:
        self._setup, self._always = setup, always
        self._found: tuple[SecondDerivative, ...] | None = None

    @property
    def always(self) -> bool:
        """Whether it is made without a reason for doubt."""
        return self._always

    def compare(self, observed: Observed, step: int) -> None:
        """See that Hessians are derivatives of gradients, where it was asked for or may not be so.

        Raises:
            ValueError: if they are not.
        """
        processes = self._setup.processes
        own = (*observed.own_functions, *(["a derivative in forward mode"] * observed.forward))
        suspects = (*observed.constants, *observed.read), own
        wanted = self._always or any(suspects)
        if not processes.alone:
            wanted = bool(processes.gather([float(wanted)]).any())
        if not wanted:
            return
        if self._found is None:
            self._found = self.taken(observed, step)
        with processes.agreed():
            require_second_derivatives(self._found, *suspects)

    def taken(self, observed: Observed, step: int) -> tuple[SecondDerivative, ...]:
        """Of every block, on the first batch of the probe sample of this step."""
        setup = self._setup
        (batch, *_) = batches_of(setup.batch(step, 0))
        with setup.processes.agreed():
            return tuple(
                second_derivative(
                    *(observed.module, setup.loss, batch, block),
                    setup.generator(step, 0, (4, place)),
                    mode=observed.mode,
                )
                for place, block in enumerate(setup.blocks)
            )

    def state_dict(self) -> list[tuple[str, float, float]] | None:
        """What was found, for a checkpoint."""
        if self._found is None:
            return None
        return [(each.block, each.difference, each.step) for each in self._found]

    def load_state_dict(self, state: list[tuple[str, float, float]] | None) -> None:
        """Go on from what was found."""
        self._found = None if state is None else tuple(SecondDerivative(*each) for each in state)
