"""Families of metrics: sums per block of pixels, and numbers made of sums."""
