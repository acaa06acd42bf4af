"""Tables larger than memory: kept on disk as the rows of each split, read block by block."""
