"""Tab completion for the console script: verbs by ourselves, everything after them by Hydra's own completion."""

import contextlib
import io
import os

from nnlab.config import ConfigError, Library
from nnlab.help import VERBS

_BASH = """_nnlab_complete() {
    local IFS=$'\\n'
    COMPREPLY=($(COMP_LINE="${COMP_LINE}" COMP_POINT="${COMP_POINT}" nnlab --complete bash 2>/dev/null))
    [[ "${COMPREPLY[0]}" == *[=./] ]] && compopt -o nospace
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
COMP_WORDBREAKS=${COMP_WORDBREAKS//:}
complete -F _nnlab_complete nnlab"""

#: verbs whose words are overrides
_OVERRIDES = ("train", "data", "model")


def script(shell: str) -> str:
    """What a shell has to read: `eval "$(nnlab --completion bash)"`.

    Args:
        shell: ``bash``.

    Raises:
        ConfigError: for another shell.
    """
    if shell != "bash":
        raise ConfigError(f"--completion: expected bash, found {shell!r} (zsh reads it after `autoload bashcompinit`)")
    return _BASH


def complete() -> int:
    """Print the words that could stand at the cursor; the shell says in COMP_LINE what has been typed."""
    line = os.environ["COMP_LINE"][: int(os.environ.get("COMP_POINT", "100000"))]
    words = line.split(" ")
    if len(words) <= 2:
        found = [verb for verb in VERBS if verb.startswith(words[-1])]
    elif words[1] == "list":
        found = [group for group in Library().groups if group.startswith(words[-1])]
    elif words[1] in _OVERRIDES:
        found = _by_hydra(" ".join(words[2:]))
    else:
        found = []
    print("\n".join(found))
    return 0


def _by_hydra(rest: str) -> list[str]:
    """What Hydra's bash completion offers for the words after the verb."""
    import hydra
    from hydra._internal.core_plugins.bash_completion import BashCompletion
    from hydra.core.global_hydra import GlobalHydra

    from nnlab.command import register_resolvers
    from nnlab.config import config_folder

    register_resolvers()
    os.environ["COMP_LINE"] = f"nnlab {rest}"
    os.environ["COMP_POINT"] = str(len(os.environ["COMP_LINE"]))
    printed = io.StringIO()
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"), contextlib.redirect_stdout(printed):
        BashCompletion(GlobalHydra.instance().hydra.config_loader).query(config_name="config")
    return [word for word in printed.getvalue().split() if not word.startswith("hydra")] if rest else []
