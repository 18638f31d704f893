"""Two Gaussian clusters, and linear classifiers of them."""
