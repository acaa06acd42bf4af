"""What `nnlab export` does: a trained run as one file for elsewhere, checked against the run before it is written."""

import copy
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from nnlab.config import ConfigError
from nnlab.durable import write_atomic
from nnlab.evaluate import make_data
from nnlab.folder import FolderError, write_json
from nnlab.gradient.base import Precision
from nnlab.lock import RunLock
from nnlab.manifest import add_to_manifest
from nnlab.restore import LoadedRun, Which, load_run
from nnlab.run_overrides import read_overrides
from nnlab.words import counted

Format = Literal["onnx", "torch_export"]
#: format -> file, and the packages that it needs
FORMATS: dict[Format, tuple[str, tuple[str, ...]]] = {
    "onnx": ("model.onnx", ("onnx", "onnxscript", "onnxruntime")),
    "torch_export": ("model.pt2", ()),
}
#: largest difference to the run that is accepted: of a probability, or of a value as a part of its column's largest
TOLERANCE = 1e-5
#: training rows that are compared
MOST_ROWS = 256
SCHEMA_VERSION = 1

#: from rows [N, F] in the user's units to values [N, T] or probabilities [N, C]
_Function = Callable[[Tensor], Tensor]


@final
class WholeModel(nn.Module):
    """From rows as the user knows them to values in the user's units, or to probabilities: what is exported.

    Args:
        run: on the CPU.
        dtype: of the parameters.
    """

    def __init__(self, run: LoadedRun, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = copy.deepcopy(run.model).to(dtype).eval()
        self._run = run
        self._dtype = dtype

    def forward(self, rows: Tensor) -> Tensor:
        """Preprocess, compute, and read what the outputs mean.

        Args:
            rows: float32, shape [N, F].

        Returns:
            Values [N, T], or probabilities [N, C].
        """
        inputs = self._run.preprocessing.inputs(rows).to(self._dtype)
        return _figures(self._run, self.model(inputs))


@dataclass(frozen=True)
class Exported:
    """What was done.

    Args:
        file: where the model is; None if it disagreed with the run, or could not be made.
        lines: what to print.
    """

    file: Path | None
    lines: tuple[str, ...]


def export(folder: Path, form: Format, output: Path | None, checkpoint: Which, overrides: Sequence[str]) -> Exported:
    """Write a run's model into a file that needs no nnlab, with its preprocessing inside.

    Args:
        folder: the run's.
        form: ``onnx`` or ``torch_export``.
        output: the folder that it goes to; None for ``export/`` in the run's.
        checkpoint: ``best`` or ``last``.
        overrides: of ``plugins``.

    Returns:
        What was done; if the file gave other numbers than the run, nothing was written.

    Raises:
        ValueError: for a folder or overrides that cannot be used, or packages that are absent.
        OSError: if the file cannot be written.
    """
    name, packages = FORMATS[form]
    absent = [package for package in packages if importlib.util.find_spec(package) is None]
    if absent:
        raise ConfigError(f"--format {form} needs {' and '.join(absent)}: pip install 'nnlab[export]'")
    place = output or folder / "export"
    if (place.exists() and not place.is_dir()) or (output is None and place.is_symlink()):
        raise FolderError(f"--output: {place} is no folder")
    typed = read_overrides(overrides, ("plugins",))
    run = load_run(folder, checkpoint, typed.plugins, "cpu")
    notes = list(run.notes)
    if run.precision.autocast is not None:
        run = replace(run, precision=Precision(torch.float32, None, "cpu"))
        notes.append(f"trained with {run.config['trainer']['precision']}: exported and checked in fp32")
    rows, what = _some_rows(run, notes)
    try:
        payload, function, dtype = _MAKERS[form](run)
        largest = _largest_difference(run, function, rows)
    except Exception as error:  # the exporters raise whatever their parts do, for models that they cannot follow
        text = " ".join(str(error).split())[:300]
        return Exported(None, (f"the model cannot be exported as {form}: {type(error).__name__}: {text}",))
    if not largest <= TOLERANCE:
        text = f"the exported model differs from the run by {largest:.3g}, more than {TOLERANCE:g}; nothing was written"
        return Exported(None, (text,))
    place.mkdir(parents=True, exist_ok=True)
    file = place / name
    write_atomic(file, payload)
    check = {"rows": len(rows), "largest_difference": largest, "tolerance": TOLERANCE}
    card = _card(run, form, name, dtype) | {"check": check, "notes": notes}
    write_json(file.with_name(f"{name}.json"), card)
    if output is None:
        notes += _enter(folder, [f"{place.name}/{name}", f"{place.name}/{name}.json"])
    agrees = f"agrees with the run on {len(rows)} {what}: largest difference {largest:.2g}"
    lines = [f"{file}: {len(payload):,} bytes; {agrees}", *_table_lines(run, name)]
    return Exported(file, (*lines, *(f"note: {note}" for note in notes)))


def _some_rows(run: LoadedRun, notes: list[str]) -> tuple[Tensor, str]:
    """Rows to compare on, and what they are: training rows, or made up where a table of one's own is gone."""
    try:
        return make_data(run).train.inputs[:MOST_ROWS], "training rows"
    except ConfigError as error:
        moments = run.preprocessing.input_moments
        if run.preprocessing.table is None or moments is None or run.preprocessing.expand:
            raise
        notes.append(f"the run's table cannot be had, so that rows were made up: {'; '.join(error.problems)}")
    mean, std = torch.tensor(moments.mean), torch.tensor(moments.std)
    noise = torch.randn(MOST_ROWS, len(mean), generator=torch.Generator().manual_seed(0))
    return (mean + std * noise) / run.preprocessing.input_scale, "rows made up from the training rows' mean and spread"


def _table_lines(run: LoadedRun, name: str) -> list[str]:
    """What has to be done to raw columns before the file takes them."""
    table = run.preprocessing.table
    if table is None:
        return []
    num_raw, num_inputs = len(table.columns), len(run.input_names)
    return [
        f"it takes {counted(num_inputs, 'encoded column')}, not the {num_raw:,} raw ones: {name}.json has under "
        '"table" what each raw column becomes'
    ]


def _enter(folder: Path, names: Sequence[str]) -> list[str]:
    """Let the manifest know the files; a note where it cannot: a process works on the run, or it is damaged."""
    try:
        with RunLock(folder):
            add_to_manifest(folder, names)
    except FolderError as error:
        return [f"the files are not in the manifest: {error}"]
    return []


def _figures(run: LoadedRun, output: Tensor) -> Tensor:
    prediction = run.read(output)
    figures = prediction.value if prediction.value is not None else prediction.probability
    assert figures is not None
    return figures


def _largest_difference(run: LoadedRun, function: _Function, rows: Tensor) -> float:
    """Over all rows together, and over the first alone, which shows that the number of rows is free."""
    expected = _figures(run, run.predict(rows).output).double()
    # Values have units: a difference of metres means nothing without the distances.
    scale = expected.abs().amax(dim=0) if run.task == "regression" else torch.ones(expected.shape[1])
    scale = torch.where(scale > 0, scale, 1.0)
    worst = 0.0
    for some, wanted in ((rows, expected), (rows[:1], expected[:1])):
        found = function(some).double()
        if found.shape != wanted.shape:
            return float("inf")
        difference = (found - wanted).abs() / scale
        worst = max(worst, float(torch.nan_to_num(difference, nan=float("inf")).max()))
    return worst


def _onnx(run: LoadedRun) -> tuple[bytes, _Function, torch.dtype]:
    import onnxruntime

    # onnxruntime has no float64 form of several activations.
    dtype = torch.float32
    with _quiet():
        program = torch.onnx.export(
            WholeModel(run, dtype),
            (_example(run),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("N")},),
            input_names=["rows"],
            output_names=[_output_name(run)],
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _forget_sources(proto)
    payload = proto.SerializeToString()
    session = onnxruntime.InferenceSession(payload, providers=["CPUExecutionProvider"])
    return payload, lambda rows: torch.from_numpy(session.run(None, {"rows": rows.numpy()})[0]), dtype


def _torch_export(run: LoadedRun) -> tuple[bytes, _Function, torch.dtype]:
    dtype = run.precision.dtype
    file = io.BytesIO()
    with _quiet():
        shapes = ({0: torch.export.Dim("N")},)
        program = torch.export.export(WholeModel(run, dtype), (_example(run),), dynamic_shapes=shapes)
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)
        torch.export.save(program, file)
        file.seek(0)
        loaded = torch.export.load(file).module()
    return file.getvalue(), lambda rows: loaded(rows).detach(), dtype


_MAKERS: dict[Format, Callable[[LoadedRun], tuple[bytes, _Function, torch.dtype]]] = {
    "onnx": _onnx,
    "torch_export": _torch_export,
}


def _example(run: LoadedRun) -> Tensor:
    # Two and more rows: a single one would be taken for a number of rows that never changes.
    return torch.zeros(3, len(run.input_names))


def _output_name(run: LoadedRun) -> str:
    return "value" if run.task == "regression" else "probability"


def _forget_sources(proto: Any) -> None:
    """Take out the places in this machine's source files that the exporter notes at every node."""
    for graph in (proto.graph, *proto.functions):
        del graph.metadata_props[:]
        for part in (*graph.node, *graph.value_info, *getattr(graph, "input", ()), *getattr(graph, "output", ())):
            if not isinstance(part, str):
                del part.metadata_props[:]
                part.doc_string = ""


def _card(run: LoadedRun, form: Format, file: str, dtype: torch.dtype) -> dict[str, Any]:
    """What a reader of the file has to know."""
    output: dict[str, Any] = {"name": _output_name(run), "dtype": str(dtype).removeprefix("torch.")}
    if run.task == "regression":
        output |= {"shape": ["N", len(run.target_names)], "targets": list(run.target_names)}
        output |= {"units": "the targets' own, as in the run's data"}
    else:
        output |= {"shape": ["N", len(run.class_names)], "classes": list(run.class_names)}
        output |= {"units": "the probability of each class"}
    rows = {"name": "rows", "dtype": "float32", "shape": ["N", len(run.input_names)]}
    return {
        "schema_version": SCHEMA_VERSION,
        "format": form,
        "file": file,
        "run": {"name": run.name, "folder": run.folder.name, "checkpoint": run.checkpoint, "step": run.step},
        "task": run.task,
        "target": list(run.target_names),
        "inputs": [rows | {"columns": list(run.input_names), "units": "the columns' own, as in the run's data"}],
        "outputs": [output],
        "table": None if run.preprocessing.table is None else run.preprocessing.table.to_json(),
        "versions": {package: version(package) for package in ("nnlab", "torch", *FORMATS[form][1])},
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back the exporters' notices about parts of their own that they are going to change."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
