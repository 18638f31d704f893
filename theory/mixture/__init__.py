"""Heads on a Gaussian mixture: effective spectrum and effective dynamics."""
