"""Flat minima of classifiers of a Gaussian mixture: ridge solutions, margins, flatness."""
