"""torch.compile, asked for one program that is never made again unasked, and for nothing left elsewhere."""

import logging
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, final

import torch
from torch import Tensor

from nnlab.machine import cache_folder, private_folder

log = logging.getLogger("nnlab")

#: where inductor keeps programs, C++ headers and what it knows of the processor
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
#: where it keeps the headers of all programs, which it asks no variable for
HEADER_FOLDERS = {"_HEADER_DIR": "precompiled_headers", "_HEADER_LOCK_DIR": "precompiled_headers/locks"}


class NotTracedError(RuntimeError):
    """There is no program, and why, in words."""


@final
class Compiled:
    """A function as one program for each shape of its arguments, of which all are made while it is ``making``.

    Args:
        function: of tensors, to tensors.

    Raises:
        NotTracedError: if torch has no compiler for this Python.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._is_making, self._number = False, 0
        # torch keeps programs, and counts them up to a limit, with the code: each training has a copy of its own.
        assert isinstance(function, FunctionType)
        code = function.__code__.replace()
        self._function = FunctionType(code, function.__globals__, closure=function.__closure__)
        with _in_words(), _own_ways():  # the first import of the compiler looks for the cache, and takes a second
            self._program = torch.compile(self._function, backend=self._backend, fullgraph=True, dynamic=False)
            from torch._dynamo.exc import TorchDynamoException
        self._errors = TorchDynamoException

    @contextmanager
    def making(self) -> Iterator[None]:
        """While it lasts, programs may be made.

        Raises:
            NotTracedError: if one cannot be made.
        """
        config = torch._dynamo.config
        if not hasattr(config, "trace_autograd_ops"):
            raise NotTracedError(f"torch {torch.__version__} does not compile a backward pass")
        if config.suppress_errors:
            raise NotTracedError("torch._dynamo.config.suppress_errors is set, and would hide that one is made anew")
        self._is_making = True
        try:
            with _in_words(), config.patch(trace_autograd_ops=True), _own_ways():
                yield
        finally:
            self._is_making = False
        if self._number == 0:  # then torch calls the function as it is, and says nothing
            raise NotTracedError("torch made none; is its compiler switched off, as by TORCHDYNAMO_DISABLE?")

    def __call__(self, *arguments: Tensor) -> Any:
        """The function's values.

        Raises:
            NotTracedError: if that needs another program than those that were made; nothing was done then.
        """
        try:
            return self._program(*arguments)
        except self._errors as error:
            if self._is_making:
                raise
            raise NotTracedError(self._why_another(arguments)) from error

    def _backend(self, graph: torch.fx.GraphModule, inputs: Sequence[Any]) -> Any:
        if not self._is_making:
            raise RuntimeError("another program is not wanted")
        self._number += 1
        return torch._inductor.compile(graph, list(inputs), options=_options())

    def _why_another(self, arguments: Sequence[Tensor]) -> str:
        with torch.compiler.set_stance("fail_on_recompile"):
            try:
                self._program(*arguments)
            except RuntimeError as error:
                lines = [line.strip() for line in str(error).splitlines() if line.strip().startswith("- ")]
                # Each program says what it is not for; that for another size of a batch is not meant.
                lines.sort(key=lambda line: "size mismatch" in line)
                return _condition(lines[0]) if lines else _words(error)
        return "it would have to be compiled anew"


def why_no_compiler() -> str | None:
    """Why C++ cannot be compiled, in words; None if there is a compiler."""
    if sys.platform == "win32":
        return "torch.compile is asked for programs on Linux and macOS only"
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    return None if shutil.which(name) else f"no C++ compiler was found ({name}; set CXX to one)"


@contextmanager
def _in_words() -> Iterator[None]:
    """Whatever a compiler raises when it meets what it was not made for: the same is then done without it."""
    try:
        yield
    except Exception as error:
        raise NotTracedError(_words(error)) from error


def _options() -> dict[str, Any]:
    return {
        "fallback_random": True,  # random numbers from torch's own generator, as without a compiler
        "compile_threads": 1,  # no processes that wait for more to compile
        "cpp_cache_precompile_headers": shutil.which("openssl") is not None,  # torch calls it to name them
    }


@contextmanager
def _own_ways() -> Iterator[None]:
    """While it lasts, inductor keeps its files where nnlab keeps its own, and says nothing of torch's own affairs."""
    before = os.environ.get(CACHE_VARIABLE)
    folder = _folder(cache_folder() / "inductor")
    os.environ[CACHE_VARIABLE] = str(folder)
    try:
        with warnings.catch_warnings():
            # Modules of torch's that are imported meanwhile use what other modules of torch's deprecate.
            warnings.simplefilter("ignore", DeprecationWarning)
            import torch._inductor.codecache as codecache

            here = {name: str(folder / part) for name, part in HEADER_FOLDERS.items() if hasattr(codecache, name)}
            elsewhere = {name: getattr(codecache, name) for name in here}
            vars(codecache).update(here)
            try:
                yield
            finally:
                vars(codecache).update(elsewhere)
    finally:
        del os.environ[CACHE_VARIABLE]
        if before is not None:
            os.environ[CACHE_VARIABLE] = before


@cache
def _folder(wanted: Path) -> Path:
    """A folder for programs; one of this process alone where the user's cache cannot be written or trusted."""
    try:
        if os.access(private_folder(wanted), os.W_OK):
            return wanted
    except OSError as error:
        log.debug("the cache cannot be used (%s)", error)
    return Path(_temporary_folder().name)


@cache
def _temporary_folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="nnlab-")  # removed when the process ends


def _condition(line: str) -> str:
    """What no longer holds, from a line of torch's about a guard.

    Example:
        >>> _condition("- 0/0: parts.model.scale == 1.0   # return x * self.scale  # own.py:7 in forward")
        'model.scale == 1.0 no longer holds (own.py:7 in forward)'
    """
    guard, *where = re.split(r"\s+# |\s+\(HINT", line.partition(": ")[2])
    place = next((part for part in where if re.search(r":\d+ in ", part)), "")
    return f"{guard.strip().removeprefix('parts.')} no longer holds{place and f' ({place})'}"


def _words(error: Exception) -> str:
    """The first line of what a compiler says, and the line of the user's that it speaks of."""
    error = getattr(error, "inner_exception", error)
    first = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(":. ")
    stack = getattr(error, "real_stack", None)
    if not stack:
        return f"{type(error).__name__}: {first}"
    return f"{first} ({Path(stack[-1].filename).name}, line {stack[-1].lineno})"
