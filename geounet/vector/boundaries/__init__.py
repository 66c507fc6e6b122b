"""Mask -> regions and their outlines, as compiled loops over rows."""
