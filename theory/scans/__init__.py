"""Where predictions change: along a parameter, and over two."""
