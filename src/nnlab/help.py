"""The help pages: plain text from the configs' own first lines; no Hydra, no torch."""

from collections.abc import Sequence
from pathlib import Path

from nnlab import __version__
from nnlab.config import GROUPS, ConfigError, Library, nearest

VERBS = {
    "train": "train one model, or many with -m",
    "resume": "go on with a run or a sweep where it stopped, to the same bits; extend a finished run",
    "list": "the options of each group, a line of meaning each",
    "data": "what a data set is, without training",
    "model": "a model's layers, shapes and parameters",
    "gradcheck": "gradients by autograd, by hand and by finite differences, compared",
    "graph": "the computational graph of loss and model, as text and drawn",
    "lr-find": "a learning rate for a run, found by short trainings: table, figure, suggestion",
    "inspect": "what a run is and how it stands, from its files",
    "verify": "whether a run's files are whole",
    "evaluate": "loss and metrics of a trained run, on any split or on other data",
    "predict": "what a trained run says of new rows, from CSV or Parquet",
    "export": "a trained run as an ONNX or torch.export file, checked against it",
    "compare": "which runs are better, and how sure that is: table, figures, a page",
    "dashboard": "TensorBoard on 127.0.0.1",
    "tune": "measure this machine once: the rules about threads and engines then fit it",
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

What a run would learn from: task, splits, classes, columns, and how the model sees them; of a table of your own what
was guessed, filled in and left out.{_SHOW_FLAGS}\
  --figure FILE              a histogram of each column by split, .png or .svg

  nnlab data data=iris data.standardize=false
  nnlab data data=csv data.path=house.csv data.target=price --figure house.png""",
    "model": f"""usage: nnlab model [group=option] [key=value] …

What a run would train: layers, shapes and parameters, for the data that are chosen.{_SHOW_FLAGS}
  nnlab model data=digits 'model.widths=[256,64]'""",
    "gradcheck": f"""usage: nnlab gradcheck [group=option] [key=value] …

The gradient of the loss of the first training rows (at most 16 of the first batch) at the initial weights, in float64,
by autograd, by the chain rule written by hand, and by finite differences with delta and half of it, parameter by
parameter. Errors are relative: the largest difference divided by the largest gradient. Exit code 1 if two ways
disagree; what a way cannot do is said, and is no disagreement. Another delta: gradient=finite_difference
gradient.delta=….{_SHOW_FLAGS}
  nnlab gradcheck data=blobs model.width=8 gradient=finite_difference gradient.delta=1e-2""",
    "graph": """usage: nnlab graph [group=option] [key=value] …

The computational graph of the first training batch's loss at the initial weights, as autograd records it: every
grad_fn from the loss back to the parameters, with shapes; what the loss does not reach is named. The overrides are
those of `nnlab train`; nothing is trained. The picture and TensorBoard's graph go into a folder of their own,
outputs/<name>/graph/<date>_<time>/.

  --config-dir DIR           configs of your own beside nnlab's

  nnlab graph data=iris model.width=8 model.norm=batch""",
}
LR_FIND_USAGE = """usage: nnlab lr-find [group=option] [key=value] … [flags]

A learning rate for the run that the overrides describe: they are those of `nnlab train`. Short trainings at many rates
and a few seeds, together where that is faster; suggested is the rate with the smallest validation loss, mean over the
seeds and smoothed over neighbouring rates. With --method range the classical range test instead: one training whose
rate grows from step to step (Smith, 2017); faster for large models, and less sure. Schedules, callbacks and loggers
have no part in it. Table, figure and numbers go into outputs/<name>/lr_find/<date>_<time>/.

  --method sweep|range       sweep if nothing is said
  --min-lr 1e-6, --max-lr 1  from and to; without them the optimizer's usual ones
  --rates 19                 how many rates (sweep); without it three in each power of ten
  --steps 100                of each training; an epoch, at least 100 and at most 500 (sweep), or 400 (range)
  --seeds 3                  seeds for each rate (sweep), from the config's own on
  --config-dir DIR           configs of your own beside nnlab's

  nnlab lr-find data=digits optim=sgd optim.momentum=0.9
  nnlab lr-find data=rings 'model.widths=[1024,1024]' --method range

exit codes: 0 done, 1 no rate can be suggested, 2 the command is wrong"""
TUNE_USAGE = """usage: nnlab tune [--forget]

Measures in about half a minute from which size of a layer on more threads are faster, with torch's own operations and
with compiled steps, and what a compiled step saves, and keeps the numbers in your cache folder (NNLAB_CACHE, or nnlab
in ~/.cache). The rules of `nnlab train` go by them from then on; without them they go by numbers measured elsewhere. A
run records the hash of those that it went by, and is resumed as it was begun. Let nothing else run meanwhile.

  --forget                   go by the defaults again

  nnlab tune"""

REPORT_USAGE = {
    "inspect": """usage: nnlab inspect RUN_DIR [--json]

What a run is and how it stands: config, seed, versions, length, numbers, checkpoints, notes. Of a sweep's folder, a
line for each member. Nothing in the folder is run, and it may come from anybody; torch is not needed.

  --json                     run.json and result.json merged, for programs

  nnlab inspect outputs/rings/2026-11-22_14-30-00""",
    "verify": """usage: nnlab verify RUN_DIR

Whether the files of a run are whole: size and SHA-256 of each are compared with manifest.json, and the checkpoints
with the files that point to them. Of a sweep's folder, every member. Nothing is changed; torch is not needed.
A line for each file that is damaged, missing or unknown to the manifest, and a summary.

  nnlab verify outputs/rings/2026-11-22_14-30-00

exit codes: 0 whole, 1 damaged or missing files, 2 no run""",
    "compare": """usage: nnlab compare DIR… [flags]

Which runs are better, and is it sure? Runs and sweeps, finished or not, in any mix; torch is not needed. Runs are put
together by what differs between them; seeds are replicates. For each group: n, the mean of the best value of the
metric with a 95 % interval, the median, the test figure at the best epoch, steps and seconds; then whether the best
group differs from each other one, and how many more seeds would tell. Whatever the table does not show is a note.

  --metric valid/loss        what is compared, test/loss among them; without it, what selected the best epochs
  --by optim,model.width     the groups, rather than everything that differs
  --where optim=adam,seed<5  only these runs: =, !=, <, <=, >, >=; status=completed
  --target 0.05              steps and seconds until the metric reached it, and how many runs did
  --sort best|test|group|steps|seconds
  --interval student|bootstrap_t
                             bootstrap_t for skewed figures, such as losses near 0
  --format table|csv|markdown|latex|json
  --html report.html         a page with everything, figures included, in one file
  --figures DIR              the figures as PNG and SVG

  nnlab compare outputs/rings/2026-11-22_14-30-00 --target 0.1 --html report.html

exit codes: 0 done, 2 no run, or one that cannot be read""",
}

_CHECKPOINT_FLAG = """
  --checkpoint WHICH         best: the parameters that trainer.monitor chose; last: the newest; average: those of
                             callback=[weight_average]"""
_PLUGINS_KEY = """
  plugins=[…]                packages of your own that the run may use; its folder cannot grant them"""
RUN_USAGE = {
    "resume": f"""usage: nnlab resume RUN_DIR [trainer.max_epochs=…]

Goes on with a run exactly where it stopped, however it was ended: the result has the bits of a run that was never
interrupted. A sweep's folder: its members that are not done. A finished run is extended by a larger
trainer.max_epochs or trainer.max_steps; trainer.checkpoint_every, trainer.on_divergence and figures may change too,
nothing else.{_PLUGINS_KEY}

  nnlab resume outputs/rings/2026-01-31_12-00-00
  nnlab resume outputs/rings/2026-01-31_12-00-00 trainer.max_epochs=100""",
    "evaluate": f"""usage: nnlab evaluate RUN_DIR [--split train|valid|test] [--checkpoint WHICH] [data overrides]

Loss and metrics of a trained run on a split: test where there is one, else valid, else train. The data are made again
from the run's config; overrides of data change them. The preprocessing stays that of the training, and so does the
encoding of a table of your own: another data.path is evaluated whole, unless data.split is given too.

  --split train|valid|test   which rows{_CHECKPOINT_FLAG}
  --json                     for a program: all digits, notes inside
  data.KEY=…, data=…         other data of the same shape and classes
  device=auto                auto, cpu, cuda, cuda:N; the run's own if nothing is said{_PLUGINS_KEY}

  nnlab evaluate outputs/rings/2026-01-31_12-00-00
  nnlab evaluate outputs/rings/2026-01-31_12-00-00 --split valid data.seed=7 --json""",
    "predict": f"""usage: nnlab predict RUN_DIR --input FILE --output FILE [--checkpoint WHICH]
       nnlab predict SWEEP_DIR --mean --input FILE --output FILE

What a trained run says of new rows. Files end in .csv (UTF-8, commas, a header) or .parquet (pip install
'nnlab[table]'). Columns are matched by name, in any order and in the units that the run was trained on; others are
passed over. A run on a table of your own takes its raw columns, with texts, dates and empty cells as in the training.
The output has a row for each row: prediction (the class, or the value in the target's units; with several targets
prediction_NAME), and for classes probability_NAME.

  --input FILE               the rows
  --output FILE              replaced in one step if it is there; - prints CSV{_CHECKPOINT_FLAG}
  --mean                     of a sweep's finished members: prediction is the mean of their values, or the class of
                             the largest mean probability; std, or std_NAME for each class, is how far they differ
  device=cpu                 auto, cpu, cuda, cuda:N{_PLUGINS_KEY}

  nnlab predict outputs/iris/2026-01-31_12-00-00 --input flowers.csv --output species.csv""",
    "export": f"""usage: nnlab export RUN_DIR --format onnx|torch_export [--output DIR] [--checkpoint WHICH]

A trained run as one file that needs no nnlab: from rows in the user's units to values in the target's units, or to
probabilities, with the preprocessing inside and any number of rows. It is compared with the run on up to 256 training
rows before it is written; exit code 1 if it differs by more than 1e-5. A JSON file beside it names inputs, outputs,
classes and the largest difference; of a table of your own it says what each raw column becomes, since the model takes
encoded ones. ONNX needs pip install 'nnlab[export]'.

  --format onnx|torch_export model.onnx, or model.pt2 for torch.export.load
  --output DIR               default: export/ in the run's folder{_CHECKPOINT_FLAG}{_PLUGINS_KEY}

  nnlab export outputs/iris/2026-01-31_12-00-00 --format onnx""",
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
  'figures=[png,svg]'        what each figure of a run is written as; [] draws none
  name=…                     runs go to outputs/NAME/ (the experiment's or data set's name)
  data.batch_size=100        any key of a chosen option; `nnlab list GROUP` and --cfg job show them
  trainer.max_epochs=50      how long; trainer.max_steps counts updates instead
  hydra.run.dir=FOLDER       another place for the run

flags, anywhere in the line
  -m, --multirun             a sweep; with --plan, what it would train, without training; a search
                             with hydra/sweeper=optuna or hydra/sweeper=halving; on a cluster
                             with hydra/launcher=ray or hydra/launcher=submitit_slurm
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
