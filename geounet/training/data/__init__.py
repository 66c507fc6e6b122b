"""Scenes and labels as chips."""
