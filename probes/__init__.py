"""What is measured: curvature operators, their spectra, and the probe that follows a training."""
