"""The training loop, its configuration and checkpoints, and the systems that are trained."""
