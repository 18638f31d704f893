"""Phase retrieval in high dimension: the Hessian on the sphere from a joint law of projections."""
