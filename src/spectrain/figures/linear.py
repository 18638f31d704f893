"""Figures and words of linear models."""

from __future__ import annotations

__all__ = ["REPORT_TEXTS"]

REPORT_TEXTS = (
    "A linear model trained from zero on the mean square. The forecast knows the spectrum of the "
    "covariance, the target, the noise and the algorithm, and nothing of the run; the predicted "
    "Hessian is that of random samples and features, which training does not change.",
)
