"""Arrows between modules go down only; who knows Hydra, and who knows torch."""

import ast
import inspect
from pathlib import Path

import pytest

import nnlab
from nnlab.config import LIST_GROUPS, Library
from nnlab.trainer import Trainer

SOURCE = Path(nnlab.__file__).parent

#: DESIGN.md, section 7, from the bottom; a module may import from its own row and from those below
ROWS = [
    {
        "durable",
        "folder",
        "metrics_file",
        "lock",
        "manifest",
        "pointer",
        "tree",
        "words",
        "machine",
        "collector",
        "seeding",
        "device",
        "world",
        "torchrun",
        "",
    },
    {"data", "model", "init", "loss", "metric", "optim", "schedule", "gradient", "figure"},
    {"callback", "logger", "native"},
    {"trainer"},
    {
        "experiment",
        "allowed",
        "build",
        "rows",
        "config",
        "check",
        "target",
        "fit_check",
        "run_arrays",
        "run_figures",
        "run_record",
        "restore",
        "resume",
        "small_model",
        "trust",
    },
    {"sweep", "report", "console", "one_run"},
    {
        "cli",
        "__main__",
        "api",
        "arguments",
        "command",
        "completion",
        "evaluate",
        "export",
        "fair_comparison",
        "flags",
        "gradcheck",
        "graph_page",
        "graph_picture",
        "help",
        "lr_find",
        "hydra_plugins",
        "predict",
        "resume_command",
        "run_overrides",
        "shared_run",
        "show",
        "sklearn",
        "table",
        "tune",
    },
]
#: modules that say what a package offers, rather than being one of its options
PROTOCOLS = {
    "data.dataset",
    "data.preprocessing",
    "data.stream.streamed",
    "loss.base",
    "loss.objective",
    "metric.base",
    "metric.readout",
    "schedule.base",
    "gradient.base",
    "gradient.graph",
    "gradient.stacked",
    "model.slope",
    "model.stacked",
    "model.functional",
    "optim.stacked",
    "gradient.chain",
    "native.library",
    "native.program",
    "callback.base",
    "logger.base",
    "trainer.result",
}
#: imports of an option by another package, each with its reason
EXCEPTIONS = {
    # what a Trainer does when nobody says otherwise, and the seeding of a layer that owns a random stream
    ("trainer.trainer", "schedule.constant"),
    ("trainer.trainer", "gradient.autograd"),
    ("trainer.trainer", "model.dropout"),
    # masks that several processes draw for a whole batch
    ("trainer.sharing", "model.dropout"),
    # what turns any figure, whatever it shows, into a picture
    ("trainer.sinks", "figure"),
    # callbacks that draw a figure of their own, imported only when they draw it
    ("callback.matmul", "figure.durations"),
    ("callback.norms", "figure.norms"),
    ("callback.activation_matters", "figure.random_networks"),
}
#: modules that say which of torch's and nnlab's classes have a C form: they know the options by name
KNOW_OPTIONS = {"native.layers", "native.losses", "native.updates"}
#: the package's own face, which imports what it shows only when it is asked for it
FACE = {("", "trainer"), ("", "restore"), ("", "config"), ("", "api")}
HYDRA = {"hydra", "omegaconf"}
#: DESIGN.md, section 4 and 7
KNOW_HYDRA = {"config", "check", "build", "experiment", "sweep", "command", "completion", "cli", "api", "hydra_plugins"}
NEVER_TORCH = {
    "torchrun",
    "collector",
    "durable",
    "folder",
    "metrics_file",
    "lock",
    "machine",
    "manifest",
    "pointer",
    "tree",
    "words",
} | {
    "config",
    "arguments",
    "help",
    "completion",
    "report",
    "cli",
    "__main__",
    "check",
    "target",
    "run_record",
    "flags",
    "table",
}


def module_of(path):
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


#: Hydra finds launchers and sweepers only under this name
PLUGINS = {f"hydra_plugins.{path.stem}": path for path in sorted((SOURCE.parent / "hydra_plugins").glob("*.py"))}
FILES = {module_of(path): path for path in sorted(SOURCE.rglob("*.py"))} | PLUGINS


def imports_of(path):
    """Every module that a file imports, with nnlab's own told apart from names inside them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole.removeprefix("nnlab.") in FILES else node.module)
    return found


IMPORTS = {module: imports_of(path) for module, path in FILES.items()}
OWN = {
    module: {name.removeprefix("nnlab").removeprefix(".") for name in names if name.split(".")[0] == "nnlab"}
    for module, names in IMPORTS.items()
}


def package(module):
    return module.split(".")[0]


def row(module):
    (number,) = [number for number, names in enumerate(ROWS) if package(module) in names]
    return number


def test_every_module_has_its_row():
    known = set().union(*ROWS)
    assert {package(module) for module in FILES} <= known
    assert len(FILES) > 80  # else the reader found nothing


@pytest.mark.parametrize("module", FILES)
def test_imports_go_down_only(module):
    up = {name for name in OWN[module] if row(name) > row(module)}
    assert {(module, name) for name in up} <= FACE


def is_option(module):
    return "." in module and module not in PROTOCOLS


@pytest.mark.parametrize(
    "module", [module for module in FILES if row(module) in (1, 2, 3) and module not in KNOW_OPTIONS]
)
def test_components_import_protocols_of_other_packages_never_options(module):
    others = {name for name in OWN[module] if package(name) != package(module) and row(name) >= 1}
    options = {name for name in others if is_option(name)} | {name for name in others if "." not in name}
    assert {(module, name) for name in options} <= EXCEPTIONS


def test_every_exception_is_still_needed():
    assert all(name in OWN[module] for module, name in EXCEPTIONS)


def test_hydra_is_known_to_few():
    knowing = {package(module) for module, names in IMPORTS.items() if {package(name) for name in names} & HYDRA}
    assert knowing <= KNOW_HYDRA
    assert "check" in knowing  # else the reader found nothing


@pytest.mark.parametrize("module", [module for module in FILES if package(module) in NEVER_TORCH])
def test_modules_that_start_at_once_do_not_import_torch(module):
    assert not {package(name) for name in IMPORTS[module]} & {"torch", "safetensors", "sklearn"}


@pytest.mark.parametrize("path", PLUGINS.values(), ids=PLUGINS)
def test_plugins_import_nothing_of_nnlab_until_they_are_used(path):
    """Every start of Hydra imports them, that of other programs in the same environment too."""
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    modules = [node.module for node in statements if isinstance(node, ast.ImportFrom)]
    assert modules  # else the reader found nothing
    assert {package(module) for module in modules} <= {"collections", "dataclasses", "typing", *HYDRA}


#: functions that take values by names of their caller's
NAMED_VALUES = {
    "target": ["call"],  # what only the run knows, such as num_inputs, has names that only the targets know
}


@pytest.mark.parametrize("module", FILES)
def test_no_function_tunnels_keyword_arguments(module):
    tunnels = [
        node.name
        for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.args.kwarg is not None
    ]
    assert tunnels == NAMED_VALUES.get(module, [])


#: Trainer's parameters that nnlab's configs hold elsewhere
ELSEWHERE = {"batch_size": "data", "shuffle": "data"}


def test_trainer_repeats_the_defaults_of_its_config():
    parameters = inspect.signature(Trainer).parameters
    content = Library().options("trainer")["default"].content
    own_to_nnlab = {"_target_", "on_divergence"}
    assert set(content) - set(parameters) == own_to_nnlab
    for name in set(content) & set(parameters):
        assert (name, parameters[name].default) == (name, content[name])
        assert type(parameters[name].default) is type(content[name])
    assert list(parameters["figures"].default) == Library().root["figures"]


def test_trainer_and_data_agree_on_shuffling():
    """Batch sizes are each data set's own; one that says nothing gets the commonest of them."""
    parameters = inspect.signature(Trainer).parameters
    contents = [option.content for option in Library().options("data").values()]
    assert {content["shuffle"] for content in contents} == {parameters["shuffle"].default}
    assert parameters["batch_size"].default in {content["batch_size"] for content in contents}


def signature_of(node):
    import importlib

    name, _, attribute = node["_target_"].rpartition(".")
    return inspect.signature(getattr(importlib.import_module(name), attribute)).parameters


@pytest.mark.parametrize(
    "group", [group for group in Library().groups if group not in ("trainer", "experiment", "compare")]
)
def test_signatures_that_repeat_a_default_agree_with_the_config(group):
    for option in Library().options(group).values():
        node = option.content[option.name] if group in LIST_GROUPS else option.content
        for name, parameter in signature_of(node).items():
            if name not in node or parameter.default is inspect.Parameter.empty:
                continue
            repeated = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            assert (option.name, name, repeated) == (option.name, name, node[name])
