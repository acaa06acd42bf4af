"""`nnlab lr-find`: which learning rate a run should have, found by trying."""
