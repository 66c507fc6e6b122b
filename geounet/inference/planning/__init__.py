"""What is computed, in which tiles and parts."""
