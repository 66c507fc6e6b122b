"""A model as a file that other tools run."""
