"""spectrain: watch the spectrum while you train, beside what theory predicts."""
