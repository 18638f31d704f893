"""What is predicted: the effective spectrum and the effective dynamics of a head on a mixture."""
