"""Data sets, their splits, and what is done to their rows before training."""

from nnlab.data.bundled import breast_cancer, diabetes, digits, iris, wine
from nnlab.data.dataset import Dataset, Split, Task
from nnlab.data.literal import inline
from nnlab.data.measured import celsius, height_weight
from nnlab.data.playground import bumps, circle, gauss, plane, spirals, xor
from nnlab.data.preprocessing import Preprocessing
from nnlab.data.synthetic import blobs, moons, rings, x_squared
from nnlab.data.table.own import arrow, csv, npz, parquet, sklearn

__all__ = [
    "Dataset",
    "Preprocessing",
    "Split",
    "Task",
    "arrow",
    "blobs",
    "breast_cancer",
    "bumps",
    "celsius",
    "circle",
    "csv",
    "diabetes",
    "digits",
    "gauss",
    "height_weight",
    "inline",
    "iris",
    "moons",
    "npz",
    "parquet",
    "plane",
    "rings",
    "sklearn",
    "spirals",
    "wine",
    "x_squared",
    "xor",
]
