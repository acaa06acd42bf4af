"""nnlab from Python: what the command does, with objects in place of printed pages."""

from nnlab.api.comparing import Comparison, compare
from nnlab.api.going_on import resume
from nnlab.api.one_run import train
from nnlab.api.picture import Picture, Pictures
from nnlab.api.result import Metrics, Result
from nnlab.api.several_runs import Sweep, sweep
from nnlab.restore import load_run

__all__ = [
    "Comparison",
    "Metrics",
    "Picture",
    "Pictures",
    "Result",
    "Sweep",
    "compare",
    "load_run",
    "resume",
    "sweep",
    "train",
]
