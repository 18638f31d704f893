"""Where records are shown as they come."""
