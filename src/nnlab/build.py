"""Config to objects, and what is wrong with them, all at once."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from nnlab.allowed import ALLOWED, TORCH_LOSS, split_node
from nnlab.callback.base import Callback
from nnlab.config import ConfigError
from nnlab.data.dataset import Dataset, Task
from nnlab.data.folds import class_counts
from nnlab.data.preprocessing import Preprocessing
from nnlab.device import resolve_device
from nnlab.fit_check import check_fit, output_code
from nnlab.folder import FIGURE_FORMATS
from nnlab.init.layers import apply as fill_layers
from nnlab.logger.base import Logger
from nnlab.loss.base import Loss, Penalty
from nnlab.loss.class_weight import balanced_class_weight
from nnlab.metric.base import Metric
from nnlab.metric.readout import Readout
from nnlab.optim.dynamo import put_off_dynamo
from nnlab.optim.groups import parameter_groups, supports_fused
from nnlab.rows import Rows
from nnlab.seeding import seed_global
from nnlab.target import Node, bind, call, check_target
from nnlab.trainer import Trainer


@dataclass(frozen=True)
class Built:
    """The objects of one run.

    Args:
        dataset: the rows.
        preprocessing: fitted on the training rows.
        readout: what the model's outputs mean.
        trainer: ready to fit, model and optimizer inside.
    """

    dataset: Dataset
    preprocessing: Preprocessing
    readout: Readout
    trainer: Trainer


#: rows whose classes are counted at a time
_ROWS_COUNTED = 1 << 20


class Problems:
    """Collects what is wrong in several parts, to report it at once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Whatever ValueError happens inside is kept, not raised."""
        try:
            yield
        except ConfigError as error:
            self.found += error.problems
        except ValueError as error:
            self.found += str(error).splitlines()

    def raise_if_any(self) -> None:
        """Raise everything that was kept as one ConfigError."""
        if self.found:
            raise ConfigError(*dict.fromkeys(self.found))


def build_model(config: Node, num_inputs: int, num_outputs: int) -> nn.Module:
    """The model with its initial weights: on the CPU, in float32, right after the seed.

    Args:
        config: the resolved config of a run.
        num_inputs: columns that the model sees.
        num_outputs: numbers that it puts out for a row.

    Returns:
        The model.

    Raises:
        ConfigError: for sizes or names that it refuses.
    """
    widths = {"num_inputs": num_inputs, "num_outputs": num_outputs}
    torchs = {"in_features": num_inputs, "out_features": num_outputs}
    node, own = split_node("init", config)
    with torch.random.fork_rng(devices=[]):
        seed_global(config["seed"], torch.device("cpu"))
        model: nn.Module = call(config["model"], ALLOWED["model"], "model", config["plugins"], **widths, **torchs)
        target = check_target(node["_target_"], ALLOWED["init"], "init", config["plugins"])
        fill = partial(target, **bind(node, target, ALLOWED["init"], "init", config["plugins"]))
        layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
        fill_layers(layers, fill, own.get("bias", "default"))
    return model


def build_loss(config: Node, task: str) -> tuple[Any, Penalty]:
    """The loss and the penalties on the weights.

    Args:
        config: the resolved config of a run.
        task: the data's task, for the loss that follows from it.

    Returns:
        Something to call with (prediction, target), and the penalty.

    Raises:
        ConfigError: for values that they refuse.
    """
    node, own = split_node("loss", config)
    is_torchs = str(node["_target_"]).startswith("torch.nn.")
    loss = call(node, TORCH_LOSS if is_torchs else ALLOWED["loss"], "loss", config["plugins"], task=task)
    return loss, Penalty(own.get("l1", 0.0), own.get("l2", 0.0))


def with_class_weight(config: Node, shared: Rows) -> Node:
    """A config whose ``balanced`` class weights are the numbers that follow from its training rows.

    Args:
        config: the resolved config of a run.
        shared: data sets that are made already.

    Returns:
        The same config where nothing is balanced, or where its data cannot be had, which ``build`` says.

    Raises:
        ConfigError: for a regression, and for a class without a training row.
    """
    if config["loss"].get("class_weight") != "balanced":
        return config
    try:
        dataset, _ = shared.data(config)
    except ValueError:
        return {**config, "loss": {**config["loss"], "class_weight": None}}
    if not dataset.class_names:
        raise ConfigError("loss.class_weight: balanced needs classes, and a regression has none")
    counts = dict.fromkeys(dataset.class_names, 0)
    for _, target in dataset.train.blocks(_ROWS_COUNTED):
        for name, count in class_counts(dataset, target).items():
            counts[name] += count
    try:
        weights = balanced_class_weight(counts)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return {**config, "loss": {**config["loss"], "class_weight": weights}}


def build_readout(task: Task, preprocessing: Preprocessing, loss: Any, model: Node) -> Readout:
    """What the model's outputs mean: it follows from task, loss and output activation.

    Args:
        task: the data's task.
        preprocessing: fitted; it knows the moments of a standardized target.
        loss: as ``build_loss`` gives it.
        model: the model's node.

    Returns:
        The readout.
    """
    moments = (preprocessing.target_mean, preprocessing.target_std)
    if not isinstance(loss, Loss):
        implied = Readout.of_loss(loss)
        return Readout(task, implied.output, implied.negative, *moments)
    output: Any = loss.reads
    return Readout(task, output, output_code(task, loss, model), *moments)


def build_metrics(config: Node, task: str) -> list[Metric]:
    """The metrics beside the loss, without doubles."""
    built = []
    for name, node in config["metric"].items():
        made = call(node, ALLOWED["metric"], f"metric.{name}", config["plugins"], task=task)
        built += made if isinstance(made, list) else [made]
    return list({metric.name: metric for metric in built}.values())


def build(
    config: Node, choices: Mapping[str, Any], folder: Path | None, name: str, shared: Rows | None = None
) -> Built:
    """Everything that a run needs.

    Args:
        config: the resolved config as plain values.
        choices: the option chosen for each group, for messages.
        folder: the run's folder, or None to leave nothing on disk.
        name: the run's name.
        shared: data sets that other runs of this process have made already.

    Returns:
        The objects.

    Raises:
        ConfigError: with every problem of every part.
    """
    problems = Problems()
    shared = shared or Rows()
    with problems.collected():
        config = with_class_weight(config, shared)
    device = torch.device("cpu")
    with problems.collected():
        device = resolve_device(config["device"])
    parts: dict[str, Any] = {}
    with problems.collected():
        parts["dataset"], parts["preprocessing"] = shared.data(config)
    dataset = parts.get("dataset")
    # Without data the widths are unknown, but the other values of the model can still be checked.
    num_inputs, num_outputs = (
        (len(parts["preprocessing"].input_names), dataset.num_outputs) if dataset is not None else (1, 1)
    )
    task = dataset.task if dataset is not None else "regression"
    makers: dict[str, Callable[[], Any]] = {
        "model": lambda: build_model(config, num_inputs, num_outputs),
        "loss": lambda: build_loss(config, task),
        "metrics": lambda: build_metrics(config, task),
        "schedule": lambda: call(config["schedule"], ALLOWED["schedule"], "schedule", config["plugins"]),
        "gradient": lambda: call(config["gradient"], ALLOWED["gradient"], "gradient", config["plugins"]),
        "callbacks": lambda: _named(config, "callback"),
        "loggers": lambda: _named(config, "logger"),
    }
    for part, make in makers.items():
        with problems.collected():
            parts[part] = make()
    if dataset is not None and {"loss", "metrics"} <= parts.keys():
        with problems.collected():
            check_fit(dataset.task, parts["loss"][0], parts["metrics"], config["model"], choices)
    put_off_dynamo()
    # Stand-ins let the optimizer's and the trainer's own values be checked beside a part that was refused.
    model = parts.get("model") or nn.Linear(1, 1)
    parts["optimizer"] = torch.optim.SGD(model.parameters())
    with problems.collected():
        parts["optimizer"] = build_optimizer(config, model, device)
    with problems.collected():
        if not problems.found:
            assert dataset is not None
            parts["readout"] = build_readout(dataset.task, parts["preprocessing"], parts["loss"][0], config["model"])
            _try_loss(dataset, parts["readout"], parts["loss"][0])
        # A device that is absent has been reported; the trainer's other values can still be checked.
        parts["trainer"] = _trainer({**config, "device": str(device)}, parts, model, folder, name)
    problems.raise_if_any()
    return Built(parts["dataset"], parts["preprocessing"], parts["readout"], parts["trainer"])


def build_optimizer(config: Node, model: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    """The optimizer over a model's parameters, in torch's fused form where there is one.

    Args:
        config: the resolved config of a run.
        model: whose parameters are updated.
        device: where it is going to compute.

    Returns:
        The optimizer.

    Raises:
        ConfigError: for values that it refuses.
    """
    node, own = split_node("optim", config)
    given: dict[str, Any] = {}
    target = check_target(node["_target_"], ALLOWED["optim"], "optim", config["plugins"])
    if not {"fused", "foreach", "capturable", "differentiable"} & node.keys() and supports_fused(
        cast(type[torch.optim.Optimizer], target), device
    ):
        given["fused"] = True
    no_decay = own.get("no_decay", [])
    groups = parameter_groups(model, no_decay) if no_decay else list(model.parameters())
    try:
        made = call(node, ALLOWED["optim"], "optim", config["plugins"], params=groups, **given)
    except ConfigError as error:
        raise ConfigError(*(_with_key(problem, node) for problem in error.problems)) from error
    assert isinstance(made, torch.optim.Optimizer)
    return made


#: what torch's messages call a hyper-parameter -> its name
_TORCHS_WORDS = {"learning rate": "lr", "beta parameter": "betas", "epsilon": "eps", "eta values": "etas"}


def _with_key(problem: str, node: Node) -> str:
    """A complaint of torch's, which names no key, with the key in front."""
    if not problem.startswith("optim: "):
        return problem
    words = {**_TORCHS_WORDS, **{key: key for key in node}}
    key = next((name for text, name in words.items() if text in problem and name in node), None)
    return f"optim.{key}: {problem.removeprefix('optim: ')}" if key else problem


def _trainer(config: Node, parts: Mapping[str, Any], model: nn.Module, folder: Path | None, name: str) -> Trainer:
    node, own = split_node("trainer", config)
    if own["on_divergence"] not in ("stop", "fail"):
        raise ConfigError(f"trainer.on_divergence: expected stop or fail, found {own['on_divergence']!r}")
    loss, penalty = parts.get("loss", (nn.MSELoss(), Penalty()))
    trainer: Trainer = call(
        node,
        ALLOWED["trainer"],
        "trainer",
        config["plugins"],
        model=model,
        loss=loss,
        penalty=penalty,
        optimizer=parts["optimizer"],
        schedule=parts.get("schedule"),
        gradient=parts.get("gradient"),
        metrics=parts.get("metrics", ()),
        readout=parts.get("readout"),
        callbacks=parts.get("callbacks", ()),
        loggers=parts.get("loggers", ()),
        batch_size=config["data"]["batch_size"],
        shuffle=config["data"]["shuffle"],
        seed=config["seed"],
        device=config["device"],
        folder=folder,
        name=name,
        hyperparameters=config,
        # a run of an earlier nnlab, that is gone on with, has no such key
        figures=config.get("figures", FIGURE_FORMATS),
    )
    return trainer


def _try_loss(dataset: Dataset, readout: Readout, loss: Any) -> None:
    """Find on two rows what a loss only says when it is called, such as class weights of the wrong number."""
    target = readout.encode(dataset.train.target[:2])
    try:
        loss(torch.full((len(target), dataset.num_outputs), 0.5), target)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(str(error) if str(error).startswith("loss.") else f"loss: {error}") from error


def _named(config: Node, group: str) -> list[Callback] | list[Logger]:
    return [call(node, ALLOWED[group], f"{group}.{name}", config["plugins"]) for name, node in config[group].items()]
