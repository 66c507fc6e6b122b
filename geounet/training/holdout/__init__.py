"""What is held out to validate on."""
