"""Low-rank reconstruction from a small start: spectral phase, saddles, refinement."""
