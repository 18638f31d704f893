"""Phase retrieval: a direction on the sphere, found from the squares of its projections."""
