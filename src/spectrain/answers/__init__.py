"""Predictions asked for in a file, answered without training."""
