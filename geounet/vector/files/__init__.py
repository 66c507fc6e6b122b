"""Polygons -> files."""
