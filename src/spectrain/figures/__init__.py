"""Which figures there are of a run, and of the systems without one, and how they become files."""
