"""Models that are linear in what is trained, and the laws their data come from."""
