"""Networks that are tiled exactly."""
