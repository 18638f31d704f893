"""Systems: each joins a law of data, a model, its statistics and its theory; one file each."""
