"""`python -m nnlab` is the same program as the console script `nnlab`."""

from nnlab.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
