"""Factories shared by all tests."""
