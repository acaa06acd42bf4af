"""The verbs. No logic: each looks at its words and calls what does the work, imported only then."""

import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from nnlab.config import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Run nnlab.

    Args:
        argv: what was typed after ``nnlab``; None for ``sys.argv``.

    Returns:
        The exit code.
    """
    if argv is None:
        _print_whatever_the_terminal_can()
    words = list(sys.argv[1:] if argv is None else argv)
    if "COMP_LINE" in os.environ and words[:2] == ["--complete", "bash"]:
        from nnlab import completion

        return completion.complete()
    verb, rest = (words[0], words[1:]) if words else ("--help", [])
    try:
        code = _run(verb, rest)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # `nnlab list | head` closes the pipe early; that is no mistake of anybody's.
        _drop_what_is_left_to_print()
        return 0
    except KeyboardInterrupt:
        print(f"nnlab {verb}: interrupted", file=sys.stderr)
        return 130
    except ConfigError as error:
        print_problems(f"nnlab {verb}", error.problems)
        return 2
    except ValueError as error:
        print_problems(f"nnlab {verb}", [str(error)])
        return 2
    except OSError as error:
        print_problems(f"nnlab {verb}", [str(error)])
        try:
            sys.stdout.flush()
        except OSError:
            _drop_what_is_left_to_print()
        return 1


def _print_whatever_the_terminal_can() -> None:
    """Let a terminal without some sign show a question mark in its place, rather than end in an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _drop_what_is_left_to_print() -> None:
    """Keep Python from writing it once more at the very end, where the error would be its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_problems(command: str, problems: Sequence[str]) -> None:
    """Say on standard error what is wrong, a line for each problem."""
    count = len(problems)
    if count == 1:
        print(f"{command}: {problems[0]}", file=sys.stderr)
        return
    print(f"{command}: {count} problems", file=sys.stderr)
    for problem in problems:
        print(f"  {problem}", file=sys.stderr)


def _run(verb: str, words: list[str]) -> int:
    from nnlab import __version__, help
    from nnlab.config import nearest

    if verb in ("--version", "-V"):
        print(f"nnlab {__version__}")
        return 0
    if verb in ("--help", "-h", "help"):
        print(help.main_page())
        return 0
    if verb == "--completion":
        from nnlab import completion

        print(completion.script(words[0] if words else "bash"))
        return 0
    if verb not in _VERBS:
        hint = nearest(verb, list(_VERBS)) or f"; there are {', '.join(_VERBS)}"
        raise ConfigError(f"there is no verb {verb!r}{hint}")
    return _VERBS[verb](words)


def _train(words: list[str]) -> int:
    from nnlab.arguments import split_arguments

    arguments = split_arguments(words)
    if "--help" in arguments.flags:
        from nnlab.help import train_page

        print(train_page(arguments.config_dirs))
        return 0
    from nnlab.command import train

    return train(arguments)


def _list(words: list[str]) -> int:
    from nnlab.arguments import split_arguments
    from nnlab.help import LIST_USAGE, list_page

    arguments = split_arguments(words, known=("--help", "--config-dir"))
    if "--help" in arguments.flags:
        print(LIST_USAGE)
        return 0
    if len(arguments.overrides) > 1:
        raise ConfigError(f"expected one group at most, found {' '.join(arguments.overrides)}")
    print(list_page(arguments.overrides[0] if arguments.overrides else None, arguments.config_dirs))
    return 0


def _show(what: str) -> Callable[[list[str]], int]:
    def show(words: list[str]) -> int:
        from nnlab.arguments import split_arguments
        from nnlab.help import SHOW_USAGE

        arguments = split_arguments(words, known=("--help", "--config-dir"))
        if "--help" in arguments.flags:
            print(SHOW_USAGE[what])
            return 0
        from nnlab import show as pages
        from nnlab.command import resolved_config

        config, choices = resolved_config(arguments)
        print(pages.data_page(config, choices) if what == "data" else pages.model_page(config))
        return 0

    return show


def _dashboard(words: list[str]) -> int:
    import argparse

    parser = argparse.ArgumentParser(prog="nnlab dashboard", description="TensorBoard on 127.0.0.1.")
    parser.add_argument("folder", nargs="?", default="outputs", type=Path, help="a run, a sweep or all (outputs)")
    parser.add_argument("--port", type=int, help="default: 6006, or the next that is free")
    arguments = parser.parse_args(words)
    from nnlab.report.dashboard import serve

    code: int = serve(arguments.folder, arguments.port)
    return code


_VERBS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "list": _list,
    "data": _show("data"),
    "model": _show("model"),
    "dashboard": _dashboard,
}
