"""Linear models under SGD: loss curves, their split, static limits and the Hessian, predicted."""
