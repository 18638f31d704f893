"""Low-rank matrices seen through linear measurements, and their factors by descent."""
