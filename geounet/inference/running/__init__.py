"""A run from its first part to its outputs."""
