"""Hostile run folders, as changes to an honest one. Data for test_hostile.py; nothing here is ever executed."""

import hashlib
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INSPECT, VERIFY = ("inspect", "inspect --json"), ("verify",)
USES, RESUMES = ("evaluate", "predict", "export", "load_run"), ("resume", "resume more")
TRAINED = (*USES, *RESUMES)
EVERY = (*INSPECT, *VERIFY, "compare", *TRAINED)
SLOW = ("export", "resume more")

#: what would tell on itself: a target that makes a folder beside the run, wherever it is called
ESCAPE = "mkdir pwned"
#: a secret outside the folder, and a table that a resume could cut or delete
SECRET, TABLE = "outside/secret.json", "outside/precious.csv"
#: what a terminal would obey: a title, an erased screen, a colour, a reversed name, a line of its own
CONTROL = "\x1b]0;owned\x07\x1b[2J\r\n\x9b31m\u202egpj.exe\u2028\x00\x7f"
FORMULA = "=HYPERLINK(1)"


@dataclass(frozen=True)
class Case:
    """A hostile folder.

    Args:
        change: makes an honest copy hostile; ``outside/`` lies beside it.
        refused: the verbs that must refuse it, with exit code 2, or 1 from ``verify``; the others may do their work.
        says: what each refusal names.
    """

    change: Callable[[Path], object]
    refused: tuple[str, ...] = ()
    says: str = ""


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def put(file: str, key: str, value: Any) -> Callable[[Path], object]:
    """Set a value in a JSON file; the parts of a key are separated by ``/``, since names may hold dots."""

    def change(run: Path) -> None:
        content = read(run / file)
        *parents, last = key.split("/")
        node: Any = content
        for part in parents:
            node = node[part]
        node[last] = value
        (run / file).write_text(json.dumps(content))

    return change


def write(file: str, payload: str | bytes) -> Callable[[Path], object]:
    return lambda run: (run / file).write_bytes(payload.encode() if isinstance(payload, str) else payload)


def all_of(*changes: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda run: [change(run) for change in changes]


# --- targets in run.json ---------------------------------------------------------------------------------------------

TARGETS: list[dict[str, Any]] = [
    {"_target_": "os.system", "command": ESCAPE},
    {"_target_": "posix.system", "command": ESCAPE},
    {"_target_": "logging.os.system", "command": ESCAPE},
    {"_target_": "torch.nn.modules.module.os.system", "command": ESCAPE},
    {"_target_": "nnlab.folder.os.system", "command": ESCAPE},
    {"_target_": "setuptools._distutils.spawn.spawn", "cmd": ESCAPE.split()},
    {"_target_": "pip._internal.main", "args": ["download", "evil"]},
    {"_target_": "builtins.open", "file": "pwned", "mode": "w"},
    {"_target_": "builtins.eval", "source": f"__import__('os').system('{ESCAPE}')"},
    {"_target_": "subprocess.Popen", "args": ESCAPE.split()},
    {"_target_": "torch.load", "f": "bomb.pt", "weights_only": False},
    {"_target_": "torch.hub.load", "repo_or_dir": "evil/evil", "model": "evil"},
    {"_target_": "torch.utils.cpp_extension.load", "name": "evil", "sources": ["evil.cpp"]},
    {"_target_": "nnlab.cli.main", "argv": ["train"]},
    {"_target_": "torch.nn.modules.module.torch.hub.load", "repo_or_dir": "evil/evil", "model": "evil"},
    {"_target_": "torch.optim.optimizer.torch.hub.load", "repo_or_dir": "evil/evil", "model": "evil"},
    {"_target_": "nnlab.data.synthetic.torch.hub.load", "repo_or_dir": "evil/evil", "model": "evil"},
    {"_target_": "nnlab.folder.write_atomic", "path": "pwned", "payload": "x"},
    {"_target_": "evil.Model"},
    {"_target_": "../evil.Model"},
    {"_target_": "!!python/object/apply:os.system ['mkdir pwned']"},
    {"_target_": ["os.system"], "command": ESCAPE},
    {"_target_": {"_target_": "os.system", "command": ESCAPE}},
]
_COMPONENTS = ("data", "model", "init", "loss", "optim", "schedule", "gradient", "trainer")
_LISTS = ("metric", "callback", "logger")


def places() -> dict[str, Callable[[dict[str, Any], Any], object]]:
    """Everywhere in a config that a node with a target can be put."""
    found: dict[str, Callable[[dict[str, Any], Any], object]] = {}
    for group in _COMPONENTS:
        found[group] = lambda config, node, group=group: config.update({group: {**config[group], **node}})
        found[f"{group}, alone"] = lambda config, node, group=group: config.update({group: node})
        found[f"{group}, a new key"] = lambda config, node, group=group: config[group].update(_extra=node)
        found[f"{group}, _args_"] = lambda config, node, group=group: config[group].update(_args_=[node])
    for group in _LISTS:
        found[group] = lambda config, node, group=group: config[group].update(mine=node)
        found[f"{group}, itself"] = lambda config, node, group=group: config.update({group: node})
    arguments = {
        "data": ("batch_size", "standardize", "seed"),
        "model": ("activation", "output_activation", "widths"),
        "loss": ("class_weight", "l1"),
        "init": ("bias",),
        "optim": ("betas", "no_decay", "lr"),
        "trainer": ("max_epochs", "on_divergence"),
    }
    for group, names in arguments.items():
        for name in names:
            found[f"{group}.{name}"] = lambda config, node, at=(group, name): config[at[0]].update({at[1]: node})
            found[f"{group}.{name}, in a list"] = lambda config, node, at=(group, name): config[at[0]].update(
                {at[1]: [1, [{"deeper": [node]}]]}
            )
    found["a group of its own"] = lambda config, node: config.update(mine={"deep": [[node]]})
    found["plugins"] = lambda config, node: config.update(plugins=[node])
    found["name"] = lambda config, node: config.update(name=node)
    found["hydra"] = lambda config, node: config.update(hydra={"callbacks": {"evil": node}})
    return found


#: places that nothing reads: a target there is refused or stays text
UNREAD = ("plugins", "name")
PLUGINS = ["os", "posix", "logging", "setuptools", "pip", "builtins", "subprocess", "torch", "nnlab", "evil"]


def with_target(place: str, node: dict[str, Any]) -> Callable[[Path], object]:
    """A target at a place, with every package granted by the folder itself."""

    def change(run: Path) -> None:
        content = read(run / "run.json")
        content["plugins"] = content["config"]["plugins"] = PLUGINS
        places()[place](content["config"], node)
        (run / "run.json").write_text(json.dumps(content))

    return change


# --- other values of run.json ----------------------------------------------------------------------------------------


def config(key: str, value: Any, says: str = "run.json", refused: tuple[str, ...] = TRAINED) -> Case:
    return Case(put("run.json", f"config/{key}", value), refused, says)


JOB_LOGGING = {
    "version": 1,
    "formatters": {"evil": {"()": "os.system", "command": ESCAPE, "format": "{0.__class__}", "style": "{"}},
    "handlers": {"evil": {"class": "logging.FileHandler", "filename": "pwned"}, "worse": {"()": "evil.Handler"}},
    "root": {"handlers": ["evil", "worse"]},
}
_DEEP: Any = 1
for _ in range(60):
    _DEEP = [_DEEP]

VALUES: dict[str, Case] = {
    # what OmegaConf would resolve
    "an environment value": config("name", "${oc.env:HOME}"),
    "an environment value, nested": config("model/activation", ["a", {"b": "${oc.env:HOME}"}]),
    "a decoded value": config("data/seed", "${oc.decode:'1'}"),
    "hydra's own resolver": config("trainer/monitor", "${hydra:runtime.cwd}"),
    "a resolver of nnlab's": config("optim/lr", "${nnlab.member:1,x}"),
    "an interpolation as a key": config("model/${oc.env:HOME}", 1),
    "an interpolation as a callback's name": config("callback/${oc.env:HOME}", {"_target_": "nnlab.callback.Matmul"}),
    "an environment value as the run's name": Case(put("run.json", "name", "${oc.env:HOME}")),
    # what YAML or logging would make objects of
    "a YAML tag": config("optim/lr", "!!python/object/apply:os.system ['mkdir pwned']"),
    "a logging factory": config("hydra", {"job_logging": JOB_LOGGING}, refused=()),
    "a logging factory beside the config": Case(put("run.json", "job_logging", JOB_LOGGING)),
    "_partial_": config("model/_partial_", True, "model._partial_"),
    "_convert_": config("optim/_convert_", "object", "optim._convert_"),
    "_recursive_": config("loss/_recursive_", False, "loss._recursive_"),
    "_call_": config("model/_call_", True, "model._call_"),
    "what only nnlab sets": config("trainer/folder", "outside", "trainer.folder"),
    "a number in place of a file": config("data/path", "/etc/passwd", "data.path"),
    # sizes
    "a width of terabytes": config("model/width", 10**12, "model.width"),
    "a width of 2^63": config("model/width", 2**63, "model.width"),
    "widths of terabytes": config("model/widths", [10**6, 10**12], "model.widths"),
    "a width of gigabytes": config("model/width", 2_000_000, "model.width"),
    "a depth of ten millions": config("model/depth", 10**7, "model.depth"),
    "a number of 4,000 digits": config("model/width", 10**4000, "model.width"),
    "a batch of 4,000 digits": config("data/batch_size", 10**4000, "data.batch_size", RESUMES),
    "a seed of 4,000 digits": config("seed", 10**4000, "seed"),
    "a data seed of 4,000 digits": config("data/seed", 10**4000, "data.seed", ("evaluate", "export", *RESUMES)),
    "nested too deeply": config("model/activation", _DEEP),
    "threads by the million": Case(put("run.json", "choices/threads", 10**6), RESUMES, "choices.threads"),
    # other types than nnlab writes
    "a device of another machine": Case(
        all_of(put("run.json", "choices/device", "cuda:99"), put("run.json", "config/device", "cuda:99")),
        ("evaluate", *RESUMES),
        "cuda:99",
    ),
    "no options": Case(put("run.json", "options", {}), RESUMES, "options"),
}
_DATA_OF_SIZE = {
    "_target_": "nnlab.data.moons",
    "num_train": 10**12,
    "num_valid": 500,
    "num_test": 500,
    "noise": 0.1,
    "batch_size": 32,
    "shuffle": True,
    "expand": [],
    "input_scale": 1.0,
    "standardize": False,
    "standardize_target": False,
    "seed": 0,
}
VALUES["rows of terabytes"] = Case(
    put("run.json", "config/data", _DATA_OF_SIZE), ("evaluate", "export", *RESUMES), "data.num_train"
)
VALUES["rows of terabytes, nested"] = Case(
    put("run.json", "config/data", {**_DATA_OF_SIZE, "num_train": 1000, "num_valid": -(10**12)}),
    ("evaluate", "export", *RESUMES),
    "data.num_valid",
)
VALUES["a callback of terabytes"] = config(
    "callback/mine",
    {"_target_": "nnlab.callback.Matmul", "num_rows": 10**12, "seed": 0},
    "callback.mine.num_rows",
    RESUMES,
)

# --- JSON ------------------------------------------------------------------------------------------------------------

JSON_FILES = ("run.json", "result.json", "preprocessing.json", "manifest.json")
JSON_FILES += ("checkpoints/last.json", "checkpoints/best.json")
TEXTS: dict[str, bytes] = {
    "YAML": b"!!python/object/apply:os.system ['mkdir pwned']\n",
    "a pickle": pickle.dumps({"a": 1}),
    "lists, 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "objects, 100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a number of 100,000 digits": b'{"step": ' + b"1" * 100_000 + b"}",
    "a number": b"NaN",
    "not a number": b'{"step": NaN, "schema_version": Infinity, "columns": -Infinity}',
    "a key twice": b'{"step": 1, "step": 2, "schema_version": 1, "schema_version": 99}',
    "half a character": b'{"step": "\\ud800", "schema_version": "\\ud800", "\\ud800": 1}',
    "no UTF-8": b'{"step": "\xff"}',
    "nothing": b"",
}


#: JSON objects: what is wrong with them is what they say
_OBJECTS = ("not a number", "a key twice", "half a character")


def refusers(file: str, kind: str) -> tuple[str, ...]:
    """The verbs that need a JSON file, and so refuse another text in its place."""
    if file == "result.json" and kind in _OBJECTS:
        return (*INSPECT, *RESUMES)
    return {
        "run.json": (*INSPECT, *TRAINED),
        "result.json": (*INSPECT, *RESUMES),
        "preprocessing.json": USES,
        "manifest.json": VERIFY,
        "checkpoints/last.json": VERIFY,
        "checkpoints/best.json": (*VERIFY, *USES),
    }[file]


# --- checkpoints -----------------------------------------------------------------------------------------------------


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pwned",)


def bomb() -> bytes:
    return pickle.dumps(_Bomb())


def torch_archive() -> bytes:
    """What torch.save makes: a zip file with a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", bomb())
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def object_array() -> bytes:
    """An .npz file whose array is a pickle."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inputs.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bomb())
    return file.getvalue()


def header(content: Any, announced: int | None = None, payload: bytes = b"") -> bytes:
    text = json.dumps(content).encode() if not isinstance(content, bytes) else content
    return struct.pack("<Q", len(text) if announced is None else announced) + text + payload


def _tensor(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


PAYLOADS: dict[str, bytes] = {
    "a pickle": bomb(),
    "a file of torch.save": torch_archive(),
    "an .npz of objects": object_array(),
    "a header of terabytes": header(b"{}", 1 << 42),
    "a header of 2^63": header(b"{}", 1 << 63),
    "a header of 2^64 - 1": header(b"{}", (1 << 64) - 1),
    "a tensor of terabytes": header({"model.linear1.weight": _tensor([1 << 40], 0, 1 << 42)}),
    "a shape that overflows": header({"model.linear1.weight": _tensor([1 << 32, 1 << 32], 0, 16)}, payload=bytes(16)),
    "a shape of 2^63": header({"model.linear1.weight": _tensor([1 << 63], 0, 16)}, payload=bytes(16)),
    "a negative shape": header({"model.linear1.weight": _tensor([-1, -4], 0, 16)}, payload=bytes(16)),
    "tensors that overlap": header({"a": _tensor([4], 0, 16), "b": _tensor([4], 8, 24)}, payload=bytes(24)),
    "a tensor from the end": header({"a": _tensor([4], 16, 0)}, payload=bytes(16)),
    "a hole": header({"a": _tensor([4], 0, 16)}, payload=bytes(64)),
    "an unknown type": header({"a": _tensor([4], 0, 16, "OBJECT")}, payload=bytes(16)),
    "a header 100,000 deep": header(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "a key twice": header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' * 2 + b"}", payload=bytes(4)),
    "nothing": b"",
}


def forge(name_of: str, payload: bytes) -> Callable[[Path], object]:
    """A payload in place of every checkpoint's, with digests that are right, as a forger would.

    Args:
        name_of: ``safetensors`` or ``json``.
        payload: its content.
    """

    def change(run: Path) -> None:
        for pointer in (run / "checkpoints" / f"{which}.json" for which in ("last", "previous", "best")):
            if pointer.exists():
                content = read(pointer)
                name = f"{content['step']}.{name_of}"
                (run / "checkpoints" / name).write_bytes(payload)
                content["sha256"][name] = hashlib.sha256(payload).hexdigest()
                pointer.write_text(json.dumps(content))

    return change


def forge_state(key: str, value: Any) -> Callable[[Path], object]:
    """A value in the state of the newest checkpoint, with digests that are right.

    Args:
        key: such as ``tables`` or ``progress/step``.
        value: what stands there then, packed as checkpoints pack it.
    """

    def change(run: Path) -> None:
        pointer = run / "checkpoints" / "last.json"
        content = read(pointer)
        name = f"{content['step']}.json"
        state = read(run / "checkpoints" / name)
        pairs = state["state"]["dict"]
        *parents, last = key.split("/")
        for part in parents:
            pairs = next(item for found, item in pairs if found == part)["dict"]
        pairs[:] = [[found, value if found == last else item] for found, item in pairs]
        payload = json.dumps(state).encode()
        (run / "checkpoints" / name).write_bytes(payload)
        for which in ("last", "best"):
            pointed = read(run / "checkpoints" / f"{which}.json")
            if name in pointed["sha256"]:
                pointed["sha256"][name] = hashlib.sha256(payload).hexdigest()
                (run / "checkpoints" / f"{which}.json").write_text(json.dumps(pointed))

    return change


def packed(**values: Any) -> dict[str, Any]:
    return {"dict": [[key, value] for key, value in values.items()]}


#: what only a forger can have written into the state that a resume goes on from
STATES: dict[str, Callable[[Path], object]] = {
    "a table outside, to be deleted": forge_state(
        "tables", {"dict": [["metrics", 2], ["../outside/precious", 0], ["trace", 7]]}
    ),
    "a table outside, to be cut": forge_state(
        "tables", {"dict": [["metrics", 2], ["../outside/precious", 1], ["trace", 7]]}
    ),
    "a table by a full path": lambda run: forge_state(
        "tables", {"dict": [["metrics", 2], [str(run.parent.resolve() / "outside" / "precious"), 0]]}
    )(run),
    "a table in another folder": forge_state("tables", packed(**{"metrics": 2, "arrays/x": 0})),
    "a table with a line of its own": forge_state("tables", packed(**{"metrics": 2, "a\nb": 0})),
    "tables that are none": forge_state("tables", [1]),
    "rows by the million": forge_state("tables", packed(metrics=10**12)),
    "rows below nothing": forge_state("tables", packed(metrics=-1)),
    "a table that is not there": forge_state("tables", packed(metrics=2, trace=7, more=5)),
    "a table with more rows": forge_state("tables", packed(metrics=2, trace=8)),
    "a tensor that is not there": forge_state("model", {"tensor": "model.nothing"}),
    "no model": forge_state("model", None),
    "a model of other names": forge_state("model", packed(evil={"tensor": "torch_generator"})),
    "no optimizer": forge_state("optimizer", packed()),
    "an optimizer of texts": forge_state("optimizer/param_groups", ["x"]),
    "a random stream that is none": forge_state("torch_generator", {"tensor": "model.linear1.weight"}),
    "progress that is none": forge_state("progress", packed(step="../1")),
    "progress of 2^70": forge_state("progress", packed(epoch=2**70, step=2**70, batch=0)),
    "an epoch that began never": forge_state("epoch_began", packed(epoch=0, step=-(10**15), batch=0)),
    "losses that are none": forge_state("record", packed(losses=["x"], sizes=[None], outputs=[])),
    "a best row without its metric": forge_state("best", packed(step=6)),
    "a best row of texts": forge_state("best", packed(step="x")),
    "a batch of 2^62": forge_state("progress", packed(epoch=2, step=6, batch=2**62)),
    "a stream of words": forge_state("generators", ["x"]),
    "no stream of CUDA": forge_state("cuda_generator", None),
    "seconds that are none": forge_state("seconds", "x"),
    "a schedule of its own": forge_state("schedule", packed(__class__="os.system")),
    "callbacks of their own": forge_state("callbacks", {"dict": [["EarlyStopping", packed(best="x", waited=[])]]}),
    "callbacks that are none": forge_state("callbacks", 7),
}
#: states of which something is left: the checkpoint before it, or a training without the callback
PASSED_OVER = ("a tensor that is not there", "callbacks of their own")


# --- files that are no files -----------------------------------------------------------------------------------------


def linked(name: str, to: str) -> Callable[[Path], object]:
    """A symbolic link in place of a file or a folder; what was there goes outside, so that it could be used."""

    def change(run: Path) -> None:
        path = found(run, name)
        target = run.parent / to
        if path.is_symlink() or path.exists():
            if not target.exists():
                os.rename(path, target)
            elif path.is_dir():
                for inside in path.iterdir():
                    inside.unlink()
                path.rmdir()
            else:
                path.unlink()
        path.symlink_to(os.path.join("..", *[".."] * name.count("/"), to))

    return change


def found(run: Path, name: str) -> Path:
    """A file of a run, by its name or a pattern."""
    return next(iter(sorted(run.glob(name))), run / name)


def replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        path = found(run, name)
        if path.is_file():
            path.unlink()
        elif path.is_dir():
            os.rename(path, run.parent / "outside" / "moved")
        make(path)

    return change


FILES = (
    "run.json",
    "result.json",
    "preprocessing.json",
    "manifest.json",
    "metrics.csv",
    "trace.csv",
    "train.log",
    "events.*",
    ".lock",
    "checkpoints/last.json",
    "checkpoints/best.json",
    "checkpoints/6.safetensors",
    "checkpoints/6.json",
    "arrays/about.npz",
)
FOLDERS = ("checkpoints", "arrays", "figures", "export", ".hydra")
_READ_BY = {
    "run.json": (*INSPECT, *USES),
    "result.json": INSPECT,
    "preprocessing.json": USES,
    ".lock": INSPECT,
    "checkpoints/best.json": USES,
    "checkpoints/6.safetensors": USES,
    "checkpoints/6.json": USES,
    "checkpoints": USES,
    "export": ("export",),
}


def odd_files() -> Iterator[tuple[str, Case]]:
    """Links, pipes and devices in place of each file: whoever would read or write it refuses it, and waits for none."""
    for name in (*FILES, *FOLDERS):
        refused = (*_READ_BY.get(name, ()), *VERIFY, *RESUMES)
        says = name.removesuffix(".*")
        yield f"{name} is a link to its content", Case(linked(name, f"outside/moved-{Path(name).name}"), refused, says)
        yield (
            f"{name} is a link to nothing",
            Case(replaced(name, lambda path: path.symlink_to("nowhere")), refused, says),
        )
        yield f"{name} is a pipe", Case(replaced(name, os.mkfifo), refused, says)
    for name in ("run.json", "checkpoints/best.json", "metrics.csv", "train.log", "manifest.json", "events.*", ".lock"):
        refused = (*_READ_BY.get(name, ()), *VERIFY, *RESUMES)
        says = name.removesuffix(".*")
        yield f"{name} is a link to a secret", Case(linked(name, SECRET), refused, says)
        for device in ("/dev/zero", "/dev/stdin"):
            to_device = replaced(name, lambda path, device=device: path.symlink_to(device))
            yield f"{name} is a link to {device}", Case(to_device, refused, says)
    for name in ("metrics.csv", "trace.csv", "train.log"):
        hard = replaced(name, lambda path: os.link(path.parent.parent / TABLE, path))
        yield f"{name} is another name of a file outside", Case(hard, RESUMES, name)
    yield (
        ".lock is another name of a file outside",
        Case(replaced(".lock", lambda path: os.link(path.parent.parent / TABLE, path)), (*INSPECT, *RESUMES), ".lock"),
    )


# --- what lies beside what is read -----------------------------------------------------------------------------------


def text_everywhere(text: str) -> Callable[[Path], object]:
    """A text in every place of a run that takes one, and in the names of files."""

    def change(run: Path) -> None:
        record, result = read(run / "run.json"), read(run / "result.json")
        preprocessing = read(run / "preprocessing.json")
        names = [f"{text}{number}" for number in range(4)]
        record["name"] = result["name"] = text
        record["options"] = dict.fromkeys(record["options"], text)
        record["data"] |= {"input_names": names, "target_names": [text], "class_names": names[:3]}
        preprocessing["columns"] = names
        record |= {"overrides": names, "created": text, "git_commit": text, "versions": {"torch": text, text: text}}
        record |= {"history": [{text: text}], text: text, "data_fingerprint": record["data_fingerprint"]}
        record["choices"] |= {"engine": text, text: text}
        result |= {"reason": text, "notes": names, "error": text, text: text}
        result["best"] |= {text: text}
        for name, content in (("run", record), ("result", result), ("preprocessing", preprocessing)):
            (run / f"{name}.json").write_text(json.dumps(content))
        printed = "".join(char for char in text if char not in "/\0\ud800")[:60]
        for name in (f"{printed}.png", f"figures/{printed}.png", f".{printed}.1.tmp", f"checkpoints/{printed}.json"):
            (run / name).write_text(printed)

    return change


TEXTS_EVERYWHERE = {
    "what a terminal obeys": CONTROL,
    "what others obey": f"{FORMULA}[/bold][link=file:///etc/passwd]x[/link]%s{{0.__class__}}$\\frac{{<script>x</script>",
    "half a character": "\ud800x",
    "a megabyte": "x" * 2**20,
}


def planted(name: str, payload: bytes) -> Callable[[Path], object]:
    """A file that nothing of nnlab reads."""

    def change(run: Path) -> None:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes(payload)

    return change


def temporary(name: str) -> Callable[[Path], object]:
    """A link under the name that this process gives its next temporary file."""

    def change(run: Path) -> None:
        path = run / name
        path.parent.mkdir(exist_ok=True)
        depth = os.path.join("..", *[".."] * name.count("/"))
        path.with_name(f".{path.name}.{os.getpid()}.tmp").symlink_to(os.path.join(depth, TABLE))

    return change


def sparse(name: str, num_bytes: int) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        path = found(run, name)
        path.touch()
        os.truncate(path, num_bytes)

    return change


def member_elsewhere(run: Path) -> None:
    """A sweep whose only member is a link to a run outside."""
    os.rename(run, run.parent / "outside" / "moved")
    run.mkdir()
    (run / "0_seed=0").symlink_to("../outside/moved")


_HYDRA = b"!!python/object/apply:os.mkdir ['pwned']\n"
_LOGGING = b"hydra: {job_logging: {version: 1, handlers: {evil: {(): evil.Handler}}}}\n"
BESIDE: dict[str, Case] = {
    "a YAML object, a logging factory and a pickle in .hydra": Case(
        all_of(
            planted(".hydra/config.yaml", _HYDRA),
            planted(".hydra/hydra.yaml", _LOGGING),
            planted(".hydra/config.pickle", bomb()),
        )
    ),
    "targets in .hydra/config.yaml": Case(planted(".hydra/config.yaml", b"optim: {_target_: os.system, command: x}\n")),
    "pickles for arrays and checkpoints": Case(
        all_of(
            planted("arrays/about.npz", object_array()),
            planted("arrays/rows_train.npy", bomb()),
            planted("checkpoints/last.pt", torch_archive()),
        )
    ),
    "code beside it": Case(
        all_of(
            planted("evil.py", b"import os; os.mkdir('pwned')"),
            planted("sitecustomize.py", b"import evil"),
            planted("configs/optim.yaml", _HYDRA),
        )
    ),
    "events of nobody": Case(planted("events.out.tfevents.99999999999.x.1.0", bomb() * 100)),
    "events from the future": Case(planted("events.out.tfevents." + "9" * 200, b"")),
    "a run inside": Case(planted("checkpoints/run.json", b"{}")),
    "a link for a temporary file": Case(temporary("result.json"), (*VERIFY, *RESUMES), "result.json"),
    "a link for a temporary checkpoint": Case(temporary("checkpoints/9.json"), (*VERIFY, *RESUMES), "9.json"),
    "a link for a temporary export": Case(temporary("export/model.pt2"), (*VERIFY, *RESUMES), "model.pt2"),
    "a table of terabytes": Case(sparse("metrics.csv", 1 << 42), RESUMES, "metrics.csv"),
    "events of terabytes": Case(sparse("events.*", 1 << 42), RESUMES, "events."),
    "a file of terabytes": Case(sparse("junk.bin", 1 << 42), RESUMES, "junk.bin"),
    "a record of terabytes": Case(sparse("run.json", 1 << 42), (*EVERY,), "run.json"),
    "a checkpoint of terabytes": Case(
        sparse("checkpoints/6.safetensors", 1 << 42), (*VERIFY, *TRAINED), "6.safetensors"
    ),
    "a member elsewhere": Case(member_elsewhere, (*INSPECT, *TRAINED), "run"),
    **{
        f"a table with {what}": Case(write("metrics.csv", text), RESUMES, "metrics.csv")
        for what, text in {
            "words": b"epoch,step\nx,y\nz,w\n",
            "other columns": b"epoch,step\n1,3\n2,6\n",
            "long rows": b"epoch\n1,3\n2,6\n",
            "a field of a megabyte": b"epoch\n" + b"1" * 2**20 + b"\n2\n",
            "nulls": b"\0" * 1000,
            "no rows": b"",
        }.items()
    },
    **{f"{what} everywhere": Case(text_everywhere(text)) for what, text in TEXTS_EVERYWHERE.items()},
}
