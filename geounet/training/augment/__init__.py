"""Chips varied at random."""
