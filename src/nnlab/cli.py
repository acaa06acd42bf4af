"""The verbs. No logic: each looks at its words and calls what does the work, imported only then."""

import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nnlab import collector
from nnlab.config import ConfigError
from nnlab.torchrun import is_silent, let_first_speak, speaker
from nnlab.words import counted


def main(argv: Sequence[str] | None = None) -> int:
    """Run nnlab.

    Args:
        argv: what was typed after ``nnlab``; None for ``sys.argv``.

    Returns:
        The exit code.
    """
    if argv is not None:
        return _main(list(argv))
    collector.claim_process()
    _print_whatever_the_terminal_can()
    try:
        return _main(sys.argv[1:])
    finally:
        collector.keep()


def _main(words: list[str]) -> int:
    if "COMP_LINE" in os.environ and words[:2] == ["--complete", "bash"]:
        from nnlab import completion

        return completion.complete()
    verb, rest = (words[0], words[1:]) if words else ("--help", [])
    if is_silent() and verb not in ("train", "resume"):
        return 0  # the first of torchrun's processes does it
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
        _say_what_is_wrong(verb, error.problems)
        return 2
    except ValueError as error:
        _say_what_is_wrong(verb, [str(error)])
        return 2
    except OSError as error:
        _say_what_is_wrong(verb, [str(error)])
        try:
            sys.stdout.flush()
        except OSError:
            _drop_what_is_left_to_print()
        return 1


def _say_what_is_wrong(verb: str, problems: Sequence[str]) -> None:
    let_first_speak()
    print_problems(speaker(f"nnlab {verb}"), problems)


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
        print(f"{command}: {_harmless(problems[0])}", file=sys.stderr)
        return
    print(f"{command}: {count} problems", file=sys.stderr)
    for problem in problems:
        print(f"  {_harmless(problem)}", file=sys.stderr)


def _harmless(text: str) -> str:
    """A message may name what a stranger's file holds: a terminal must not obey it."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


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
    with collector.resting():
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
        from nnlab.arguments import DATA, split_arguments
        from nnlab.help import SHOW_USAGE

        arguments = split_arguments(words, known=("--help", "--config-dir", *(DATA if what == "data" else ())))
        if "--help" in arguments.flags:
            print(SHOW_USAGE[what])
            return 0
        with collector.resting():
            from nnlab.command import resolved_config

        text, code = _page(what, *resolved_config(arguments), arguments.flags.get("--figure"))
        print(text)
        return code

    return show


def _page(what: str, config: dict[str, Any], choices: dict[str, Any], figure: str | None) -> tuple[str, int]:
    """What a verb prints, and its exit code."""
    if what == "gradcheck":
        with collector.resting():
            from nnlab.gradcheck import gradcheck

        comparison = gradcheck(config, choices)
        return comparison.text, 0 if comparison.agrees else 1
    with collector.resting():
        from nnlab import show as pages

    if what == "data":
        return pages.data_page(config, choices, Path(figure) if figure is not None else None), 0
    return pages.model_page(config), 0


def _graph(words: list[str]) -> int:
    from nnlab.arguments import split_arguments
    from nnlab.help import SHOW_USAGE

    arguments = split_arguments(words, known=("--help", "--config-dir"))
    if "--help" in arguments.flags:
        print(SHOW_USAGE["graph"])
        return 0
    with collector.resting():
        from nnlab.graph_page import graph

    print(graph(arguments))
    return 0


def _lr_find(words: list[str]) -> int:
    from nnlab.arguments import LR_FIND, split_arguments
    from nnlab.help import LR_FIND_USAGE

    arguments = split_arguments(words, known=("--help", "--config-dir", *LR_FIND))
    if "--help" in arguments.flags:
        print(LR_FIND_USAGE)
        return 0
    with collector.resting():
        from nnlab.lr_find.verb import lr_find

    return lr_find(arguments, lambda line: print(line, flush=True))


def _resume(words: list[str]) -> int:
    from nnlab.flags import split_run_words
    from nnlab.help import RUN_USAGE

    if "--help" in words or "-h" in words:
        print(RUN_USAGE["resume"])
        return 0
    typed = split_run_words("resume", words, {})
    with collector.resting():
        from nnlab.resume_command import resume

    from nnlab.torchrun import is_told_to_share

    if is_told_to_share():
        from nnlab.shared_run import resume_shared

        return resume_shared(typed.folder, typed.overrides)
    return resume(typed.folder, typed.overrides)


def _verify(words: list[str]) -> int:
    folder, _ = _folder_and_flags("verify", words, ())
    if folder is None:
        return 0
    from nnlab.report.verify import verify

    verdict = verify(folder)
    print(verdict.text)
    return verdict.code


def _inspect(words: list[str]) -> int:
    folder, flags = _folder_and_flags("inspect", words, ("--json",))
    if folder is None:
        return 0
    from nnlab.report.inspect import inspect

    text, code = inspect(folder, "--json" in flags)
    print(text)
    return code


def _compare(words: list[str]) -> int:
    from nnlab.help import REPORT_USAGE

    if {"--help", "-h"} & set(words):
        print(REPORT_USAGE["compare"])
        return 0
    with collector.resting():
        from nnlab.report.compare import parse, run

    text, notes, code = run(parse(words), ["compare", *words])
    print(text)
    _print_notes(notes)
    return code


def _folder_and_flags(verb: str, words: list[str], flags: Sequence[str]) -> tuple[Path | None, Mapping[str, str]]:
    """The folder that a report is asked of, and the flags; None once the verb's page was printed instead."""
    from nnlab.flags import split_run_words
    from nnlab.help import REPORT_USAGE

    if {"--help", "-h"} & set(words):
        print(REPORT_USAGE[verb])
        return None, {}
    found = split_run_words(verb, words, dict.fromkeys(flags, ()))
    if found.overrides:
        raise ConfigError(f"expected one folder, found {' '.join(words)}")
    return found.folder, found.flags


def _evaluate(words: list[str]) -> int:
    from nnlab.flags import split_run_words
    from nnlab.help import RUN_USAGE

    if "--help" in words or "-h" in words:
        print(RUN_USAGE["evaluate"])
        return 0
    known = {"--split": ("train", "valid", "test"), "--checkpoint": ("best", "last", "average"), "--json": ()}
    typed = split_run_words("evaluate", words, known)
    with collector.resting():
        from nnlab.evaluate import evaluate

    checkpoint: Any = typed.flags.get("--checkpoint", "best")
    found = evaluate(typed.folder, typed.flags.get("--split"), checkpoint, typed.overrides)
    if "--json" in typed.flags:
        print(found.json)
        return 0
    print(found.page)
    _print_notes(found.notes)
    return 0


def _predict(words: list[str]) -> int:
    from nnlab.flags import split_run_words
    from nnlab.help import RUN_USAGE

    if "--help" in words or "-h" in words:
        print(RUN_USAGE["predict"])
        return 0
    known = {"--input": None, "--output": None, "--checkpoint": ("best", "last", "average"), "--mean": ()}
    typed = split_run_words("predict", words, known)
    missing = [f"{flag} is missing: the table of new rows" for flag in ("--input",) if flag not in typed.flags]
    missing += [f"{flag} is missing: a file, or - to print" for flag in ("--output",) if flag not in typed.flags]
    if missing:
        raise ConfigError(*missing)
    with collector.resting():
        from nnlab.predict import predict

    given, output = typed.flags["--input"], typed.flags["--output"]
    checkpoint: Any = typed.flags.get("--checkpoint", "best")
    done = predict(typed.folder, given, output, checkpoint, "--mean" in typed.flags, typed.overrides)
    _print_notes(done.notes)
    if output != "-":
        print(f"{output}: {counted(done.num_rows, 'row')}")
    return 0


def _export(words: list[str]) -> int:
    from nnlab.flags import split_run_words
    from nnlab.help import RUN_USAGE

    if "--help" in words or "-h" in words:
        print(RUN_USAGE["export"])
        return 0
    known = {"--format": ("onnx", "torch_export"), "--output": None, "--checkpoint": ("best", "last", "average")}
    typed = split_run_words("export", words, known)
    if "--format" not in typed.flags:
        raise ConfigError("--format is missing: onnx or torch_export")
    with collector.resting():
        from nnlab.export import export

    output = Path(typed.flags["--output"]) if "--output" in typed.flags else None
    form: Any = typed.flags["--format"]
    checkpoint: Any = typed.flags.get("--checkpoint", "best")
    done = export(typed.folder, form, output, checkpoint, typed.overrides)
    print("\n".join(done.lines), file=sys.stderr if done.file is None else sys.stdout)
    return 1 if done.file is None else 0


def _print_notes(notes: Sequence[str]) -> None:
    """What a result differs by from what one might take it for, beside what a program may read from standard output."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def _dashboard(words: list[str]) -> int:
    import argparse

    parser = argparse.ArgumentParser(prog="nnlab dashboard", description="TensorBoard on 127.0.0.1.")
    parser.add_argument("folder", nargs="?", default="outputs", type=Path, help="a run, a sweep or all (outputs)")
    parser.add_argument("--port", type=int, help="default: 6006, or the next that is free")
    arguments = parser.parse_args(words)
    from nnlab.report.dashboard import serve

    code: int = serve(arguments.folder, arguments.port)
    return code


def _tune(words: list[str]) -> int:
    from nnlab.help import TUNE_USAGE

    if {"--help", "-h"} & set(words):
        print(TUNE_USAGE)
        return 0
    unknown = [word for word in words if word != "--forget"]
    if unknown:
        raise ConfigError(f"expected --forget or nothing, found {' '.join(unknown)}")
    with collector.resting():
        from nnlab.tune import tune

    tune("--forget" in words, lambda line: print(line, flush=True))
    return 0


_VERBS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "list": _list,
    "data": _show("data"),
    "model": _show("model"),
    "gradcheck": _show("gradcheck"),
    "graph": _graph,
    "lr-find": _lr_find,
    "inspect": _inspect,
    "verify": _verify,
    "evaluate": _evaluate,
    "predict": _predict,
    "export": _export,
    "compare": _compare,
    "dashboard": _dashboard,
    "resume": _resume,
    "tune": _tune,
}
