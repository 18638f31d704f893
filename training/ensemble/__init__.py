"""Ensembles: many runs of one configuration, trained and probed together."""

from __future__ import annotations

from .ensemble import ensemble

__all__ = ["ensemble"]
