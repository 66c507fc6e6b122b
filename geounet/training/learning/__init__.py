"""The network, its optimiser, and the loop."""
