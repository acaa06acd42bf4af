"""The help pages: plain text from the configs' own first lines; no Hydra, no torch."""

from collections.abc import Sequence
from pathlib import Path

from nnlab import __version__
from nnlab.config import GROUPS, ConfigError, Library, nearest

VERBS = {
    "train": "train one model, or many with -m",
    "list": "the options of each group, a line of meaning each",
    "data": "what a data set is, without training",
    "model": "a model's layers, shapes and parameters",
    "dashboard": "TensorBoard on 127.0.0.1",
}

#: what a group is that is not nnlab's
OWN_GROUP = "your own; add it with +"
LIST_USAGE = """usage: nnlab list [GROUP] [--config-dir DIR]

The options of every group, or of one, a line of meaning each; with --config-dir yours beside nnlab's.

  nnlab list optim"""

_SHOW_FLAGS = """

The overrides are those of `nnlab train`; nothing is trained and nothing is written.
  --config-dir DIR           configs of your own beside nnlab's
"""
SHOW_USAGE = {
    "data": f"""usage: nnlab data [group=option] [key=value] …

What a run would learn from: task, splits, classes, columns, and how the model sees them.{_SHOW_FLAGS}
  nnlab data data=iris data.standardize=false""",
    "model": f"""usage: nnlab model [group=option] [key=value] …

What a run would train: layers, shapes and parameters, for the data that are chosen.{_SHOW_FLAGS}
  nnlab model data=digits 'model.widths=[256,64]'""",
}


def main_page() -> str:
    """What `nnlab --help` prints."""
    verbs = "\n".join(f"  {verb:<10} {meaning}" for verb, meaning in VERBS.items())
    return f"""nnlab {__version__}: a laboratory for neural-network experiments on PyTorch

usage: nnlab VERB [group=option] [key=value] …      (python -m nnlab is the same)

{verbs}

first steps
  nnlab train                                    a first network: rings, MLP, Adam
  nnlab train data=spirals model.width=32        other data, a narrower model
  nnlab train -m optim=sgd,adam 'seed=range(3)'  six runs, one for each pair
  nnlab dashboard                                look at them in TensorBoard

`nnlab train --help` shows what can be chosen, `nnlab list GROUP` explains it."""


def train_page(config_dirs: Sequence[Path] = ()) -> str:
    """What `nnlab train --help` prints.

    Args:
        config_dirs: the user's own folders of configs.
    """
    library = Library(config_dirs)
    defaults = library.default_choices()
    lines = []
    for group in library.groups:
        options = ", ".join(library.options(group))
        chosen = ",".join(defaults.get(group, [])) or "none"
        lines.append(f"  {group}={chosen}\n      {GROUPS.get(group, OWN_GROUP)}: {options}")
    chosen = "\n".join(lines)
    return f"""usage: nnlab train [group=option] [key=value] … [flags]

One run; with -m, one for each combination of the values that are given as lists. The overrides are Hydra's, whole:
quote those with brackets or dollar signs, as in 'model.widths=[256,1024]'.

groups, with what is chosen when nothing is said
{chosen}

keys
  seed=0                     weights, order of the rows, dropout; data.seed is for the data
  device=auto                auto, cpu, cuda, cuda:N
  name=…                     runs go to outputs/NAME/ (the experiment's or data set's name)
  data.batch_size=100        any key of a chosen option; `nnlab list GROUP` and --cfg job show them
  trainer.max_epochs=50      how long; trainer.max_steps counts updates instead
  hydra.run.dir=FOLDER       another place for the run

flags, anywhere in the line
  -m, --multirun             a sweep
  --cfg job                  the config that a run would have, without running; --package optim for a part of it
  --config-dir DIR           configs of your own beside nnlab's
  --info, --hydra-help       what Hydra makes of it

examples
  nnlab train experiment=rings
  nnlab train data=moons model.depth=1 model.activation=tanh optim=sgd optim.lr=0.1
  nnlab train data=digits 'model.widths=[256,64]' model.dropout=0.2 callback=early_stopping
  nnlab train -m data=rings optim=sgd,adam,rmsprop 'seed=range(5)'

exit codes: 0 done, 1 a run failed, 2 the command is wrong, 130 interrupted, 143 terminated, 75 pre-empted"""


def list_page(group: str | None, config_dirs: Sequence[Path] = ()) -> str:
    """What `nnlab list [GROUP]` prints.

    Args:
        group: one group, or None for all.
        config_dirs: the user's own folders of configs.

    Raises:
        ConfigError: if there is no such group.
    """
    library = Library(config_dirs)
    if group is not None and group not in library.groups:
        hint = nearest(group, library.groups) or f"; there are {', '.join(library.groups)}"
        raise ConfigError(f"there is no group {group!r}{hint}")
    pages = [_group_page(library, name) for name in ([group] if group else library.groups)]
    if group is not None:
        pages += [f"keys of an option: nnlab train --cfg job --package {group} {group}=…"]
    if group == "model":
        pages += ["activations:\n" + "\n".join(f"  {line}" for line in _activation_lines(library))]
    return "\n\n".join(pages)


def _group_page(library: Library, group: str) -> str:
    options = library.options(group).values()
    width = max(len(option.name) for option in options)
    rows = [f"  {option.name:<{width}}  {option.meaning}" for option in options]
    return "\n".join([f"{group}: {GROUPS.get(group, OWN_GROUP)}", *rows])


def _activation_lines(library: Library) -> list[str]:
    content = library.options("model")["mlp"].path.read_text(encoding="utf-8")
    return [line.removeprefix("#   ") for line in content.splitlines() if line.startswith("#   ")]


def activations(library: Library) -> list[str]:
    """The names that ``model.activation`` takes."""
    return "".join(_activation_lines(library)).replace(" ", "").split(",")
