"""The report: one HTML page on a run that needs nothing else, neither network nor scripts."""

from .report import is_report, report

__all__ = ["is_report", "report"]
