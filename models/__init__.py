"""What is trained, the laws its data come from, and heads: all that the loss does to x^T Y."""
