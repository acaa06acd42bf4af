"""What is logged is what tensorboard's own reader finds."""

import io
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG as END
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG as START
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.util.tensor_util import make_ndarray
from torch import nn

import nnlab.logger
from nnlab.figure import confusion_matrix, png
from nnlab.logger import Histogram, Image, Logger, Run, TensorBoard

KINDS = ("scalars", "tensors", "images")


def model() -> nn.Module:
    body = nn.Sequential(nn.Linear(2, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1))
    whole = nn.Sequential()
    whole.add_module("body", body)
    whole.add_module("output", nn.Linear(8, 3))
    return whole


def started(
    folder: Path,
    config: dict[str, Any] | None = None,
    resumed_at: int | None = None,
    history: Sequence[tuple[int, dict[str, float]]] = (),
) -> TensorBoard:
    logger = TensorBoard()
    logger.start(Run(folder, config or {}, model(), resumed_at, history))
    return logger


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance=dict.fromkeys(KINDS, 0)).Reload()


def points(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(folder).Scalars(tag)]


def text(folder: Path) -> list[tuple[int, str]]:
    events = read(folder).Tensors("config")
    return [(event.step, make_ndarray(event.tensor_proto).item().decode()) for event in events]


def as_tensorboard_shows(markdown: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of html5lib, within bleach
        from tensorboard.plugin_util import markdown_to_safe_html
    return str(markdown_to_safe_html(markdown))


def test_scalars_many_steps_every_value_step_and_time_is_read_back(tmp_path: Path) -> None:
    logger = started(tmp_path)
    values = np.random.default_rng(0).normal(size=(2500, 3)).astype(np.float32)
    for step, row in enumerate(values, 1):
        logger.scalars(
            step, dict(zip(["train/loss", "valid/loss", "optim/lr"], map(float, row), strict=True)), 0.5 * step
        )
    logger.close()
    events = read(tmp_path)
    assert sorted(events.Tags()["scalars"]) == ["optim/lr", "train/loss", "valid/loss"]
    for column, tag in enumerate(["train/loss", "valid/loss", "optim/lr"]):
        found = events.Scalars(tag)
        assert [(event.step, event.wall_time) for event in found] == [(step, 0.5 * step) for step in range(1, 2501)]
        np.testing.assert_array_equal([event.value for event in found], values[:, column])


def test_scalars_non_finite_values_are_kept(tmp_path: Path) -> None:
    logger = started(tmp_path)
    for step, value in enumerate([np.nan, np.inf, -np.inf]):
        logger.scalars(step, {"train/loss": value}, 0.0)
    logger.close()
    np.testing.assert_array_equal([value for _, value in points(tmp_path, "train/loss")], [np.nan, np.inf, -np.inf])


def test_scalars_eight_values_cost_far_below_a_short_epoch(tmp_path: Path) -> None:
    logger = started(tmp_path)
    values = {f"train/metric_{number}": 0.1 * number for number in range(8)}
    best_s = np.inf
    for trial in range(5):
        begin = time.perf_counter()
        for step in range(200):
            logger.scalars(200 * trial + step, values, 0.0)
        best_s = min(best_s, (time.perf_counter() - begin) / 200)
    logger.close()
    assert best_s < 200e-6


def test_start_fresh_run_file_lies_in_the_folder_and_holds_config_and_graph_at_once(tmp_path: Path) -> None:
    started(tmp_path, {"seed": 3})
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("events.out.tfevents.")
    assert text(tmp_path) == [(0, "    seed: 3")]
    assert read(tmp_path).Tags()["graph"]


def test_layout_first_scalars_charts_of_both_splits_and_of_each_alone(tmp_path: Path) -> None:
    logger = started(tmp_path)
    for step in (1, 2):
        logger.scalars(step, {"train/loss": 1, "valid/loss": 1, "train/f.1": 1, "valid/f.1": 1, "optim/lr": 1}, 0.0)
    logger.close()
    (event,) = read(tmp_path).Tensors("custom_scalars__config__")
    both, alone = Layout.FromString(make_ndarray(event.tensor_proto).item()).category
    assert {chart.title: list(chart.multiline.tag) for chart in both.chart} == {
        "loss": ["^train/loss$", "^valid/loss$"],
        "f.1": [r"^train/f\.1$", r"^valid/f\.1$"],
    }
    assert [(chart.title, list(chart.multiline.tag)) for chart in alone.chart] == [
        ("valid/loss", ["^valid/loss$"]),
        ("valid/f.1", [r"^valid/f\.1$"]),
        ("train/loss", ["^train/loss$"]),
        ("train/f.1", [r"^train/f\.1$"]),
    ]


def test_layout_no_validation_split_no_chart_of_it(tmp_path: Path) -> None:
    logger = started(tmp_path)
    logger.scalars(1, {"train/loss": 1.0}, 0.0)
    logger.close()
    (event,) = read(tmp_path).Tensors("custom_scalars__config__")
    categories = Layout.FromString(make_ndarray(event.tensor_proto).item()).category
    assert [[chart.title for chart in category.chart] for category in categories] == [["loss"], ["train/loss"]]


def hparams_of(folder: Path, tag: str = START) -> list[HParamsPluginData]:
    """What every event of a tag holds, withdrawn or not, as TensorBoard's own protos read it."""
    files = sorted(folder.glob("events*"))
    values = [v for path in files for event in EventFileLoader(str(path)).Load() for v in event.summary.value]
    contents = [value.metadata.plugin_data.content for value in values if value.tag == tag]
    return [HParamsPluginData.FromString(content) for content in contents]


def test_hparams_fresh_run_settings_are_in_the_runs_own_file_at_once(tmp_path: Path) -> None:
    started(tmp_path, {"seed": 3, "optim": {"_target_": "torch.optim.SGD", "lr": 0.5, "nesterov": True}, "name": "x"})
    (content,) = hparams_of(tmp_path)
    kinds = {key: (value.WhichOneof("kind")) for key, value in content.session_start_info.hparams.items()}
    assert kinds == {
        "seed": "number_value",
        "optim": "string_value",
        "optim.lr": "number_value",
        "optim.nesterov": "bool_value",
    }
    assert abs(content.session_start_info.start_time_secs - time.time()) < 60
    assert read(tmp_path).PluginTagToContent("hparams").keys() == {START}
    assert [path for path in tmp_path.rglob("*") if path.is_dir()] == []


def test_hparams_resumed_run_settings_are_still_there_and_once(tmp_path: Path) -> None:
    for resumed_at in (None, 10, 10, 20):
        started(tmp_path, {"seed": 3}, resumed_at=resumed_at).close()
    assert len(hparams_of(tmp_path)) == 1
    assert len(read(tmp_path).Tensors(START)) == 1


def test_hparams_first_process_had_no_disk_the_second_writes_them(tmp_path: Path) -> None:
    started(tmp_path, {"seed": 3}, resumed_at=10).close()
    assert len(read(tmp_path).Tensors(START)) == 1


def test_hparams_run_that_begins_anew_settings_are_there_once(tmp_path: Path) -> None:
    for _ in range(2):
        started(tmp_path, {"seed": 3}).close()
    # Of the two readers only the dashboard's withdraws tensors.
    assert len(plugin_event_accumulator.EventAccumulator(str(tmp_path)).Reload().Tensors(START)) == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("completed", [STATUS_SUCCESS]),
        ("early_stopped", [STATUS_SUCCESS]),
        ("diverged", [STATUS_FAILURE]),
        ("failed", [STATUS_FAILURE]),
        ("interrupted", []),
        ("preempted", []),
    ],
)
def test_end_status_is_recorded_unless_the_run_can_be_resumed(tmp_path: Path, status: str, expected: list[int]) -> None:
    logger = started(tmp_path)
    logger.scalars(10, {"train/loss": 1.0}, 0.0)
    logger.end(status)
    logger.close()
    assert [content.session_end_info.status for content in hparams_of(tmp_path, END)] == expected
    second = started(tmp_path, resumed_at=10)
    second.end("completed")
    second.close()
    found = [content.session_end_info.status for content in hparams_of(tmp_path, END)]
    assert found == (expected or [STATUS_SUCCESS])


def test_end_before_start_is_harmless() -> None:
    TensorBoard().end("failed")


def test_config_hostile_values_the_shown_page_holds_them_as_text(tmp_path: Path) -> None:
    config = {"name": "```\n</code><script>alert(1)</script>\n# heading\n", "deep": {"list": [1, None, "$x$", 1e-3]}}
    started(tmp_path, config)
    ((_, shown),) = text(tmp_path)
    html = as_tensorboard_shows(shown)
    assert html.count("<pre>") == html.count("</code></pre>") == 1
    assert "<script" not in html
    assert "<h1" not in html
    assert yaml.safe_load("\n".join(line[4:] for line in shown.split("\n"))) == config


def test_graph_nested_model_one_node_a_layer_in_order_with_shapes(tmp_path: Path) -> None:
    started(tmp_path)
    graph: GraphDef = read(tmp_path).Graph()
    assert [(node.name, node.op, list(node.input)) for node in graph.node] == [
        ("(input)", "Input", []),
        ("body/0", "Linear", ["(input)"]),
        ("body/1", "BatchNorm1d", ["body/0"]),
        ("body/2", "ReLU", ["body/1"]),
        ("body/3", "Dropout", ["body/2"]),
        ("output", "Linear", ["body/3"]),
        ("(output)", "Output", ["output"]),
    ]
    shapes = [[dim.size for dim in node.attr["_output_shapes"].list.shape[0].dim] for node in graph.node]
    assert shapes == [[-1, 2], [-1, 8], [-1, 8], [-1, 8], [-1, 8], [-1, 3], [-1, 3]]
    nodes = {node.name: node for node in graph.node}
    assert [dim.size for dim in nodes["output"].attr["weight"].shape.dim] == [3, 8]
    assert "bias" not in nodes["body/0"].attr
    assert set(nodes["body/1"].attr) >= {"weight", "bias", "running_mean", "running_var"}


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=(40, 25)),
        np.linspace(-1, 1, 31, dtype=np.float32),
        np.zeros(7),
        np.array(2.5),
        np.empty(0),
    ],
    ids=["normal", "edges", "equal", "scalar", "empty"],
)
def test_histogram_any_values_buckets_are_those_of_tensorboard(tmp_path: Path, values: np.ndarray) -> None:
    logger = started(tmp_path)
    logger.media(5, "weights/output.bias", Histogram(values))
    logger.close()
    (event,) = read(tmp_path).Tensors("weights/output.bias")
    assert event.step == 5
    expected = make_ndarray(histogram_pb("t", values).value[0].tensor)
    np.testing.assert_allclose(make_ndarray(event.tensor_proto), expected, atol=1e-15)
    assert read(tmp_path).PluginTagToContent("histograms") == {"weights/output.bias": b""}


def test_histogram_non_finite_and_hardly_different_values_are_no_error(tmp_path: Path) -> None:
    logger = started(tmp_path)
    cases = {
        "nan": (np.array([np.nan, 1.0, np.inf, 2.0]), 2),
        "all": (np.full(3, np.nan), 0),
        "close": (np.array([1.0, np.nextafter(1.0, 2.0)]), 2),
        "tiny": (np.array([0.0, 5e-324]), 2),
    }
    for tag, (values, _) in cases.items():
        logger.media(1, tag, Histogram(values))
    logger.close()
    for tag, (_, count) in cases.items():
        (event,) = read(tmp_path).Tensors(tag)
        assert make_ndarray(event.tensor_proto)[:, 2].sum() == count


def test_image_figure_bytes_and_size_are_read_back(tmp_path: Path) -> None:
    content, width, height = png(confusion_matrix(np.eye(2, dtype=int), ["a", "b"], "a run"))
    logger = started(tmp_path)
    logger.media(7, "figures/confusion", Image(content, width, height))
    logger.close()
    (event,) = read(tmp_path).Images("figures/confusion")
    assert (event.step, event.width, event.height) == (7, width, height)
    assert event.encoded_image_string == content


def test_start_resumed_run_later_points_are_withdrawn_and_none_is_doubled(tmp_path: Path) -> None:
    first = started(tmp_path, {"max_epochs": 3})
    for step in (10, 20, 30):
        first.scalars(step, {"train/loss": float(step)}, 0.0)
    first.close()
    second = started(tmp_path, {"max_epochs": 5}, resumed_at=10)
    for step in (20, 30, 40):
        second.scalars(step, {"train/loss": float(-step)}, 0.0)
    second.close()
    assert points(tmp_path, "train/loss") == [(10, 10.0), (20, -20.0), (30, -30.0), (40, -40.0)]
    assert text(tmp_path) == [(0, "    max_epochs: 3"), (11, "    max_epochs: 5")]
    assert read(tmp_path).Tags()["graph"]
    assert read(tmp_path).Tensors("custom_scalars__config__")


def test_start_resumed_without_a_new_point_keeps_those_until_the_checkpoint(tmp_path: Path) -> None:
    first = started(tmp_path)
    for step in (10, 20):
        first.scalars(step, {"train/loss": float(step)}, 0.0)
    first.close()
    started(tmp_path, resumed_at=10).close()
    assert points(tmp_path, "train/loss") == [(10, 10.0)]


def test_start_resumed_points_that_never_reached_the_disk_are_written_again(tmp_path: Path) -> None:
    first = started(tmp_path)
    for step in (10, 20, 30):
        first.scalars(step, {"train/loss": float(step)}, 0.0)
    first.close()
    (path,) = tmp_path.glob("events*")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 70])  # a power failure took the end
    assert (30, 30.0) not in points(tmp_path, "train/loss")
    history = [(step, {"train/loss": float(step)}) for step in (10, 20, 30)]
    started(tmp_path, resumed_at=30, history=history).close()
    assert sorted(points(tmp_path, "train/loss")) == [(10, 10.0), (20, 20.0), (30, 30.0)]


def test_resumed_run_what_is_logged_again_at_its_last_step_is_not_doubled(tmp_path: Path) -> None:
    """A process that was killed while it drew the figures has logged test metrics and some of the figures."""
    content, width, height = png(confusion_matrix(np.eye(2, dtype=int), ["a", "b"], "a run"))
    for resumed_at in (None, 10):
        logger = started(tmp_path, resumed_at=resumed_at)
        if resumed_at is None:
            logger.scalars(10, {"train/loss": 1.0}, 0.0)
        logger.scalars(10, {"test/loss": 2.0}, 0.0)
        logger.media(10, "figures/confusion", Image(content, width, height))
        logger.media(10, "weights", Histogram(np.arange(3.0)))
        logger.close()
    assert points(tmp_path, "test/loss") == [(10, 2.0)]
    assert len(read(tmp_path).Images("figures/confusion")) == len(read(tmp_path).Tensors("weights")) == 1


def test_resumed_run_points_that_an_earlier_resume_withdrew_are_written_again(tmp_path: Path) -> None:
    # The second process withdraws step 20 and loses its own; the third knows it from the history alone.
    for resumed_at, steps in ((None, (10, 20)), (10, ()), (20, (30,))):
        history = [(step, {"train/loss": float(step)}) for step in (10, 20) if step <= (resumed_at or 0)]
        logger = started(tmp_path, resumed_at=resumed_at, history=history)
        for step in steps:
            logger.scalars(step, {"train/loss": float(step)}, 0.0)
        logger.close()
    assert points(tmp_path, "train/loss") == [(10, 10.0), (20, 20.0), (30, 30.0)]


def test_close_without_start_or_twice_is_harmless(tmp_path: Path) -> None:
    TensorBoard().close()
    logger = started(tmp_path)
    logger.close()
    logger.close()


def test_logger_package_import_brings_tensorboard_only_when_it_is_asked_for() -> None:
    code = """
import sys, nnlab.logger as logger
print("tensorboard" in sys.modules)
print(issubclass(logger.TensorBoard, logger.Logger))
print({"tensorflow", "torch.utils.tensorboard", "fsspec"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "set()"]


def test_logger_package_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Tensorboard'"):
        _ = nnlab.logger.Tensorboard  # type: ignore[attr-defined]


def test_yaml_tensorboard_builds_the_logger() -> None:
    path = Path(__file__).parents[2] / "configs/logger/tensorboard.yaml"
    option = yaml.safe_load(path.read_text())
    assert option == {"tensorboard": {"_target_": "nnlab.logger.TensorBoard"}}
    assert isinstance(TensorBoard(), Logger)
    with io.StringIO(path.read_text()) as lines:
        assert lines.readline().startswith("# ")
