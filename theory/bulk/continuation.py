"""P followed from point to point of the upper half plane.

    P(lam + h)  =  Newton's method from  P(lam) + h dP/dlam

on the branch of `complex_equation`. A step on which the guess is too far off is divided.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .complex_equation import ComplexArray, ComplexEquation, on_branch

__all__ = ["Continuation", "is_real"]

_NEWTON_STEPS = 10
_TOLERANCE = 1e-7  # of the last step; the error left is of the order of its square
_REAL = 1e-9  # relative imaginary part below which a solution counts as real: no density there
_HALVINGS = 3
_DIVISIONS = (1, 2, 6)  # parts of a step of many points together, one attempt after the other


def is_real(p: ComplexArray) -> NDArray[np.bool_]:
    """Whether matrices (L, m, m) are real but for what Newton's method leaves."""
    real: NDArray[np.bool_] = np.abs(p.imag).max((1, 2)) <= _REAL * np.abs(p).max((1, 2))
    return real


class Continuation:
    """Newton's method and the paths that it is led along.

    Args:
        equation: of one law.
    """

    def __init__(self, equation: ComplexEquation) -> None:
        self.equation = equation

    def newton(self, lam: complex, guess: ComplexArray) -> tuple[ComplexArray, ComplexArray] | None:
        """P(lam) near a guess and dP/dlam, if it lies on the branch; None otherwise.

        On the real axis a solution that is real along some direction is refused: there Newton
        cannot tell on which branch it is.
        """
        p, slope, settled = self.newton_all(np.array([complex(lam)]), guess[None])
        return (p[0], slope[0]) if settled[0] else None

    def newton_all(
        self, lam: ComplexArray, guess: ComplexArray, steps: int = _NEWTON_STEPS
    ) -> tuple[ComplexArray, ComplexArray, NDArray[np.bool_]]:
        """The same at points (L,) from guesses (L, m, m), and where it was found, (L,)."""
        p, slope = guess.copy(), np.zeros_like(guess)
        settled, running = np.zeros(len(p), bool), np.arange(len(p))
        least = np.where(lam.imag == 0, _REAL, 0.0)
        with np.errstate(all="ignore"):
            for _ in range(steps):
                if not len(running):
                    break
                try:
                    step, slope[running] = self.equation.correction(lam[running], p[running])
                except np.linalg.LinAlgError:
                    break
                p[running] += step
                size = np.abs(step).max((1, 2))
                done = size < _TOLERANCE * np.abs(p[running]).max((1, 2))
                ended = running[done]
                settled[ended] = on_branch(p[ended], least[ended])
                running = running[~done & np.isfinite(size)]
        return p, slope, settled

    def walk(
        self, start: complex, end: complex, p: ComplexArray, slope: ComplexArray
    ) -> tuple[ComplexArray, ComplexArray] | None:
        """Follow P along a segment, halving the step where Newton fails; None if it is lost."""
        position, step, halvings = start, end - start, 0
        while position != end:
            target = end if abs(end - position) <= abs(step) * (1 + 1e-12) else position + step
            guess = p + slope * (target - position)
            moved = self.newton(target, guess if on_branch(guess[None])[0] else p)
            if moved is None:
                step /= 2
                halvings += 1
                if halvings > _HALVINGS:
                    return None
            else:
                position, (p, slope) = target, moved
        return p, slope

    def advance(
        self,
        at: ComplexArray,
        target: ComplexArray,
        p: ComplexArray,
        slope: ComplexArray,
        moving: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Follow P from ``at`` to ``target``, in place, where ``moving``; says where it was found.

        A step that fails is taken again in more parts.
        """
        found = np.zeros(len(at), bool)
        some = np.flatnonzero(moving)
        for parts in _DIVISIONS:
            if not len(some):
                break
            here, there = at[some], target[some]
            state, rate = p[some], slope[some]
            on = np.ones(len(some), bool)
            for part in range(1, parts + 1):
                goal = here + (there - here) * (part / parts)
                last = here + (there - here) * ((part - 1) / parts)
                going = np.flatnonzero(on)
                state[going], rate[going], on[going] = self.newton_all(
                    goal[going], state[going] + rate[going] * (goal - last)[going, None, None]
                )
            p[some[on]], slope[some[on]], at[some[on]] = state[on], rate[on], there[on]
            found[some[on]] = True
            some = some[~on]
        return found
