"""The report: one HTML page on a run that needs nothing else, neither network nor scripts."""

from .report import report

__all__ = ["report"]
