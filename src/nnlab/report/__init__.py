"""What is read from run folders: never torch, never a model."""
