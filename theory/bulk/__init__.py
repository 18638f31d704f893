"""From the law of a curvature factor to a spectrum: bulk, gaps, outliers."""
