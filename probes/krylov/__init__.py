"""Eigenpairs, densities and traces from products alone."""
