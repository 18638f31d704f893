"""The spiked matrix-tensor model: its planted landscape, descent and message passing on it."""
