"""The TensorBoard plugin: the tab "Spectrum", a moving picture of each run's data file."""
