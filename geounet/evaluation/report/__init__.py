"""The page that shows an evaluation: `evaluate --report`."""
