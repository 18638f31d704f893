"""What a probing yields, and the file that keeps it."""
