"""Runs shared by several processes and machines."""
