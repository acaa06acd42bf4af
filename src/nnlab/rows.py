"""The rows of a run: from its config to a data set and what the model sees of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from nnlab.allowed import ALLOWED, split_node
from nnlab.config import ConfigError
from nnlab.data.dataset import Dataset, Split
from nnlab.data.folds import with_fold
from nnlab.data.preprocessing import Preprocessing, target_moments
from nnlab.data.stream.streamed import Streamed
from nnlab.data.table.encoding import Encoding
from nnlab.metric.readout import Readout
from nnlab.target import Node, call


class Rows:
    """Data sets that several runs of one process share: each is made and encoded once."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Dataset, Preprocessing]] = {}
        self._encoded: dict[tuple[int, str], dict[str, tuple[Tensor, Tensor] | Streamed]] = {}
        self._fingerprints: dict[int, str] = {}

    def data(self, config: Node) -> tuple[Dataset, Preprocessing]:
        """As ``build_data``.

        Args:
            config: the resolved config of a run.
        """
        key = repr((config["data"], config["plugins"]))
        if key not in self._made:
            self._made[key] = build_data(config)
        return self._made[key]

    def splits(
        self, dataset: Dataset, preprocessing: Preprocessing, readout: Readout
    ) -> Mapping[str, tuple[Tensor, Tensor] | Streamed]:
        """The rows as the model sees them.

        Args:
            dataset: as ``data`` gives it.
            preprocessing: likewise.
            readout: knows how the loss wants the target.

        Returns:
            Inputs and target by split, or what reads them where they stay on disk.
        """
        key = (id(dataset), repr(sorted(vars(readout).items(), key=lambda item: item[0])))
        if key not in self._encoded:
            self._encoded[key] = {split: seen(rows, preprocessing, readout) for split, rows in dataset.splits.items()}
        return self._encoded[key]

    def fingerprint(self, dataset: Dataset) -> str:
        """The SHA-256 of a data set's rows, split by split, as a hexadecimal string."""
        if id(dataset) not in self._fingerprints:
            self._fingerprints[id(dataset)] = fingerprint(dataset)
        return self._fingerprints[id(dataset)]


def seen(rows: Split, preprocessing: Preprocessing, readout: Readout) -> tuple[Tensor, Tensor] | Streamed:
    """A split as the model sees it.

    Args:
        rows: as the user knows them.
        preprocessing: what is done to the inputs.
        readout: knows how the loss wants the target.

    Returns:
        Inputs and target, or what reads them where they stay on disk.
    """
    if rows.stored is None:
        return preprocessing.all_inputs(rows.inputs), readout.encode(rows.target)
    return Streamed(
        rows.stored, lambda inputs, target: (preprocessing.inputs(inputs), readout.encode(target)), rows.stored.seed
    )


def fingerprint(dataset: Dataset) -> str:
    """The SHA-256 of a data set's rows, split by split, as a hexadecimal string."""
    if dataset.fingerprint is not None:
        return dataset.fingerprint
    digest = hashlib.sha256()
    for name, split in dataset.splits.items():
        for tensor in (split.inputs, split.target):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.contiguous().numpy().reshape(-1).data)
    return digest.hexdigest()


def build_data(config: Node, fitted: Encoding | None = None) -> tuple[Dataset, Preprocessing]:
    """The data set and its preprocessing.

    Args:
        config: the resolved config of a run.
        fitted: the encoding of raw columns that a run has learnt; None to learn it from the training rows.

    Returns:
        The rows as the user knows them, and what is done to them.

    Raises:
        ConfigError: for data that cannot be had.
    """
    node, own = split_node("data", config)
    folds, fold = own.get("folds"), own.get("fold", 0)
    dataset = call(node, ALLOWED["data"], "data", config["plugins"], folds=folds, fold=fold, fitted=fitted)
    if not isinstance(dataset, Dataset):
        raise ConfigError(f"data: {node['_target_']} gave no Dataset but {type(dataset).__name__}")
    # What encodes raw columns has dealt the folds itself: it learns from the rows that are left to train on.
    if dataset.encoding is None:
        dataset = with_fold(dataset, folds, fold, node.get("seed", 0))
    elif fitted is None and not own.get("standardize_target") and dataset.task == "regression":
        dataset = replace(dataset, notes=(*dataset.notes, *_target_notes(dataset)))
    return dataset, Preprocessing.fit(
        dataset,
        own.get("expand", []),
        own.get("input_scale", 1.0),
        own.get("standardize", False),
        own.get("standardize_target", False),
    )


def _target_notes(dataset: Dataset) -> list[str]:
    """Advice on targets that a fresh model's outputs are far from."""
    std = target_moments(dataset.train).std
    far = [
        f"{name} has {value:.3g}" for name, value in zip(dataset.target_names, std, strict=True) if not 0.1 < value < 10
    ]
    if not far:
        return []
    return [
        f"a model learns targets of a standard deviation near 1 best; {', '.join(far)}: data.standardize_target=true"
    ]
