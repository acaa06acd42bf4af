"""Training steps in C: the same step as everywhere, without a Python call for each of its operations."""
