"""Figures of low-rank reconstruction."""
