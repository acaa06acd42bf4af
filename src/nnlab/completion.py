"""Tab completion for the console script: verbs, groups, options, keys and flags, from the YAML files alone."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nnlab.arguments import ALL, DATA, LR_FIND, VALUES, Arguments
from nnlab.config import LIST_GROUPS, ConfigError, Library, choices_of
from nnlab.help import VERBS

_BASH = r"""_nnlab_complete() {
    local IFS=$'\n' word="${COMP_LINE:0:COMP_POINT}"
    COMPREPLY=($(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" nnlab --complete bash 2>/dev/null))
    word="${word##* }"
    # Where bash takes = for the end of a word, it replaces only what stands after it.
    [[ "$COMP_WORDBREAKS" == *=* && "$word" == *=* ]] && COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*=}"}"}")
    [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *[=./,] ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o default -F _nnlab_complete nnlab"""

#: verbs whose words are overrides
_OVERRIDES = ("train", "data", "model", "gradcheck", "graph", "lr-find")
#: verbs whose word is the folder of a run -> their flags
_REPORTS = {"inspect": ("--json", "--help"), "verify": ("--help",)}
#: verbs of a run's folder, which the shell completes itself, with their flags and the flags' values
_RUN_FLAGS: dict[str, dict[str, tuple[str, ...]]] = {
    "evaluate": {"--split": ("train", "valid", "test"), "--checkpoint": ("best", "last"), "--json": (), "--help": ()},
    "predict": {"--input": (), "--output": (), "--checkpoint": ("best", "last"), "--mean": (), "--help": ()},
    "resume": {"--help": ()},
    "compare": {
        **dict.fromkeys(("--metric", "--by", "--target", "--where", "--html", "--figures"), ()),
        "--sort": ("best", "test", "group", "steps", "seconds"),
        "--interval": ("student", "bootstrap_t"),
        "--format": ("table", "csv", "markdown", "latex", "json"),
        "--help": (),
    },
    "export": {"--format": ("onnx", "torch_export"), "--output": (), "--checkpoint": ("best", "last"), "--help": ()},
}
_ROOT_KEYS = ("seed", "device", "name", "figures", "plugins")
_SHOW_FLAGS = ("--config-dir", "--help")
_FLAGS = {"train": tuple(sorted(ALL)), "lr-find": (*LR_FIND, *_SHOW_FLAGS), "data": (*DATA, *_SHOW_FLAGS), **_REPORTS}


def script(shell: str) -> str:
    """What a shell has to read: `eval "$(nnlab --completion bash)"`.

    Args:
        shell: ``bash``.

    Raises:
        ConfigError: for another shell.
    """
    if shell != "bash":
        raise ConfigError(f"expected bash, found {shell!r} (zsh reads it too, after `autoload -U bashcompinit`)")
    return _BASH


def complete() -> int:
    """Print the words that could stand at the cursor; the shell says in COMP_LINE what has been typed."""
    line = os.environ["COMP_LINE"][: int(os.environ.get("COMP_POINT", "100000"))]
    try:
        found = candidates(line)
    except ConfigError:
        found = []  # a broken file is no matter for the Tab key; the command itself says what is wrong
    if found:
        print("\n".join(found))
    return 0


def candidates(line: str) -> list[str]:
    """The words that could stand at the end of a line.

    Args:
        line: what has been typed up to the cursor, ``nnlab`` first.

    Returns:
        Whole words.

    Example:
        >>> candidates("nnlab train optim=ada")
        ['optim=adadelta', 'optim=adagrad', 'optim=adam', 'optim=adamax', 'optim=adamw']
    """
    words = line.split()[1:] + ([""] if line[-1:].isspace() else [])
    if len(words) <= 1:
        return _starting(words[0] if words else "", [*VERBS, "--help", "--version", "--completion"] if words else [])
    verb, *before, word = words
    if verb in _RUN_FLAGS:
        flags_of = _RUN_FLAGS[verb]
        values = flags_of.get(before[-1], ()) if before else ()
        return _starting(word, values or (flags_of if word.startswith("-") else ()))
    if before and before[-1] in VALUES:
        return _starting(word, VALUES[before[-1]])
    if word.startswith("-") or (before and before[-1] == "--config-dir"):
        flags = _FLAGS.get(verb, _SHOW_FLAGS)
        has_flags = verb in (*_OVERRIDES, *_REPORTS, "list")
        return _starting(word, flags) if has_flags and word.startswith("-") else []
    if verb in _REPORTS:
        return _folders(word)
    library = Library(_config_dirs(before))
    if verb == "list":
        return _starting(word, library.groups) if not before else []
    return _override(word, before, library) if verb in _OVERRIDES else []


def _starting(word: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(word)]


def _folders(word: str) -> list[str]:
    """The folders that could stand there, or none where a name needs quotes: those are left to the shell."""
    parent, slash, typed = word.rpartition("/")
    try:
        with os.scandir(f"{parent}{slash}" or ".") as found:
            names = sorted(entry.name for entry in found if entry.is_dir() and entry.name.startswith(typed))
    except OSError:
        return []
    names = [name for name in names if not name.startswith(".") or typed.startswith(".")]
    is_plain = all(re.fullmatch(r"[\w.,=+@%:-]+", name) for name in names)
    return [f"{parent}{slash}{name}/" for name in names] if is_plain else []


def _config_dirs(words: list[str]) -> list[Path]:
    line = " ".join(words)
    found = re.search(r"(?:--config-dir[ =]|-cd )(\S+)", line)
    folders = Arguments(flags={"--config-dir": found.group(1)}).config_dirs if found else []
    return [folder for folder in folders if folder.is_dir()]


def _override(word: str, before: list[str], library: Library) -> list[str]:
    prefix, rest = re.fullmatch(r"(\+\+|\+|~)?(.*)", word, re.DOTALL).groups()  # type: ignore[union-attr]
    prefix = prefix or ""
    key, equals, value = rest.partition("=")
    if not equals:
        names = [f"{group}=" for group in library.groups]
        names += _keys(rest, before, library) if "." in rest else [f"{group}." for group in library.groups if rest]
        return _starting(word, [prefix + name for name in [*names, *(f"{key}=" for key in _ROOT_KEYS)]])
    if key in library.groups:
        # Several options, as in optim=sgd,adam or callback=[early_stopping,histograms: the last one is completed.
        typed = re.match(r".*[,\[]|", value).group()  # type: ignore[union-attr]
        return _starting(word, [f"{prefix}{key}={typed}{name}" for name in library.options(key)])
    default = _node(key, before, library)
    return _starting(word, [f"{prefix}{key}={text}" for text in _values(key, default, library)])


def _keys(typed: str, before: list[str], library: Library) -> list[str]:
    """The keys beside the one that is being typed: ``optim.lr=``, or ``callback.early_stopping.`` where it goes on."""
    parent = typed.rpartition(".")[0]
    node = _node(parent, before, library)
    if not isinstance(node, Mapping):
        return []
    return [f"{parent}.{name}{'.' if isinstance(node[name], Mapping) else '='}" for name in node if name != "_target_"]


def _values(key: str, default: Any, library: Library) -> list[str]:
    if isinstance(default, bool):
        return ["true", "false"]
    if key in ("model.activation", "model.output_activation"):
        from nnlab.help import activations

        return activations(library)
    if key == "device":
        return ["auto", "cpu", "cuda"]
    if key == "figures":
        return ["[png,svg]", "[png]", "[svg]", "[]"]
    return [str(default)] if isinstance(default, str | int | float) else []


def _node(path: str, before: list[str], library: Library) -> Any:
    """What stands at a path in the options that are chosen so far."""
    group, *parts = path.split(".")
    if group not in library.groups:
        return library.root.get(group) if group in _ROOT_KEYS and not parts else None
    node: Any = {}
    for name in _chosen(group, before, library):
        option = library.options(group).get(name)
        node |= option.content if option else {}
    for part in parts:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _chosen(group: str, before: list[str], library: Library) -> list[str]:
    pairs = [word.lstrip("+").partition("=") for word in before if "=" in word]
    typed: dict[str, list[str]] = {key: re.findall(r"\w+", value) for key, _, value in pairs}
    choices = library.default_choices()
    for experiment in typed.get("experiment", []):
        option = library.options("experiment").get(experiment)
        choices |= choices_of(option.content.get("defaults", [])) if option else {}
    chosen = (choices | typed).get(group, [])
    return chosen if group in LIST_GROUPS else chosen[:1]
