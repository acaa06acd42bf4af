"""Damages every file of run folders, cut short or by single bits, and asks what opens them: nothing wrong may load."""

import contextlib
import io
import json
import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.numpy

from nnlab import load_run
from nnlab.cli import main
from nnlab.manifest import read_manifest

#: a run with a state of every kind, whose best parameters are neither its newest nor the ones before
TRAIN = (
    *("data=moons", "data.num_train=200", "data.num_valid=64", "data.num_test=64", "data.batch_size=25"),
    *("model.width=4", "model.dropout=0.2", "model.norm=batch", "schedule=one_cycle", "schedule.total_steps=40"),
    *("trainer.threads=1", "trainer.checkpoint_every=3", "device=cpu", "callback=[trace,early_stopping]"),
)
#: epochs that the run is trained for, and those that a finished one is extended to
EPOCHS, MORE_EPOCHS = 4, 5
#: the snapshot of a killed run is taken when this checkpoint has been begun and is not in force
CUT_AT = "checkpoints/24.safetensors"
#: kind of file -> the names of its files
KINDS = {
    "run.json": r"run\.json",
    "result.json": r"result\.json",
    "manifest.json": r"manifest\.json",
    "preprocessing.json": r"preprocessing\.json",
    "metrics.csv": r"metrics\.csv",
    "trace.csv": r"trace\.csv",
    "pointers": r"checkpoints/(last|previous|best)\.json",
    "descriptions": r"checkpoints/\d+\.json",
    "payloads": r"checkpoints/\d+\.safetensors",
    "arrays": r"arrays/.*",
    "figures": r"figures/.*",
    "events": r"events\..*",
    "train.log": r"train\.log",
    ".hydra": r"\.hydra/.*",
    ".lock": r"\.lock",
}
#: lines of `nnlab inspect` that tell sizes, which a shorter file changes
_SIZES = ("  files ", "  checkpoint ")
#: replaced as a whole between two manifests, so that only the manifest at a run's end holds them
_REPLACED = re.compile(r"result\.json|checkpoints/(last|previous|best)\.json|(figures|arrays)/.*")


class Damage(NamedTuple):
    """A file of a run folder with other content than it should have.

    Args:
        file: its name, relative to the folder.
        how: what was done to it, in words.
        content: what it holds then.
        first: the first byte that is not as it was.
    """

    file: str
    how: str
    content: bytes
    first: int


class Answer(NamedTuple):
    """What a verb says of a folder: its exit code and all that it prints."""

    code: int
    text: str


class Verdict(NamedTuple):
    """How a verb took a damage.

    Args:
        outcome: ``found``, ``harmless`` or ``wrong``.
        problem: what was wrong, in words.
    """

    outcome: str
    problem: str = ""


FOUND, HARMLESS = Verdict("found"), Verdict("harmless")


class Runs(NamedTuple):
    """The folders of runs with one config.

    Args:
        finished: of all epochs.
        killed: as a process leaves it that is killed in the middle.
        longer: of more epochs from the start, which a finished run is extended to.
    """

    finished: Path
    killed: Path
    longer: Path


def make_runs(folder: Path) -> Runs:
    """Train a run, and copy its folder in the middle: what a process leaves that is killed at that moment.

    Args:
        folder: an empty folder.

    Returns:
        Where they are.
    """
    runs = Runs(folder / "finished", folder / "killed", folder / "longer")
    with copied(runs.finished, {runs.killed: lambda file: file == CUT_AT}):
        train(runs.finished, EPOCHS)
    train(runs.longer, MORE_EPOCHS)
    assert runs.killed.exists()
    return runs


def train(run: Path, num_epochs: int) -> None:
    """Train a run that nothing interrupts."""
    code, text = ask("train", *TRAIN, f"trainer.max_epochs={num_epochs}", f"hydra.run.dir={run}")
    assert code == 0, text


@contextlib.contextmanager
def copied(run: Path, moments: Mapping[Path, Callable[[str], bool]]) -> Iterator[None]:
    """While it lasts, a run's folder is copied just before one of its files is replaced.

    Args:
        run: the folder.
        moments: for each copy, whether it is made now, by the name of the file that is to be replaced; the first
            time counts.
    """
    replace = os.replace

    def copying(source: Any, target: Any) -> None:
        path = Path(target).absolute()
        if path.is_relative_to(run.absolute()):
            name = path.relative_to(run.absolute()).as_posix()
            for copy, is_now in moments.items():
                if not copy.exists() and is_now(name):
                    shutil.copytree(run, copy)
        replace(source, target)

    os.replace = copying  # type: ignore[assignment]
    try:
        yield
    finally:
        os.replace = replace


def ask(*words: str | Path) -> Answer:
    """Run nnlab in this process."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code: Any = main([str(word) for word in words])
        except SystemExit as ending:
            code = ending.code
    return Answer(int(code or 0), said.getvalue())


def files_of(folder: Path, kind: str) -> list[str]:
    """The names of a kind's files in a folder."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [name for name in names if re.fullmatch(KINDS[kind], name)]


def cut_short(folder: Path, file: str, num_lengths: int) -> Iterator[Damage]:
    """A file at lengths spread from nothing to one byte less than it has."""
    content = (folder / file).read_bytes()
    spread = {round(index * len(content) / num_lengths) for index in range(num_lengths)}
    for length in sorted({*spread, 0, 1, len(content) // 2, len(content) - 1}):
        if 0 <= length < len(content):
            yield Damage(file, f"cut to {length} of {len(content)} bytes", content[:length], length)


def flipped(folder: Path, files: Sequence[str], number: int, chance: random.Random) -> Iterator[Damage]:
    """Files in turn, each with one bit that is another."""
    contents = {file: (folder / file).read_bytes() for file in files}
    files = [file for file in files if contents[file]]
    for index in range(number if files else 0):
        file = files[index % len(files)]
        content = bytearray(contents[file])
        where, bit = chance.randrange(len(content)), chance.randrange(8)
        content[where] ^= 1 << bit
        yield Damage(file, f"bit {bit} of byte {where} of {len(content)}", bytes(content), where)


class Bench:
    """A run folder that is damaged and mended again and again.

    Args:
        run: the folder, which is whole.
        goal: that of a run that was never interrupted and has as many epochs as this one once it is resumed.
        work: an empty folder for copies.
        words: what `resume` is given besides the folder.
    """

    def __init__(self, run: Path, goal: Path, work: Path, words: Sequence[str] = ()) -> None:
        self.run = Path(shutil.copytree(run, work / "damaged"))
        self._kept, self._work, self._words = run, work, words
        self._inspected = ask("inspect", self.run)
        self._loaded = {which: loaded(self.run, which) for which in ("best", "last")}
        self._evaluated = ask("evaluate", self.run)
        self._trained = trained(goal)
        self._manifest = read_manifest(run)

    def verdicts(self, damage: Damage) -> dict[str, Verdict]:
        """What the verbs that only read make of a damage, by name."""
        verbs: dict[str, Callable[[Damage], Verdict]] = {
            "verify": self.verify,
            "inspect": self._inspect,
            "load best": lambda damage: self._load(damage, "best"),
            "load last": lambda damage: self._load(damage, "last"),
        }
        with self._damaged(damage):
            return {name: judged(verb, damage) for name, verb in verbs.items()}

    def evaluate(self, damage: Damage) -> Verdict:
        """What `nnlab evaluate` makes of a damage."""
        with self._damaged(damage):
            return judged(self._evaluate, damage)

    def resume(self, damage: Damage) -> Verdict:
        """What `nnlab resume` makes of a damage."""
        again = self._work / "resumed"
        shutil.rmtree(again, ignore_errors=True)
        shutil.copytree(self._kept, again)
        (again / damage.file).write_bytes(damage.content)
        return judged(lambda damage: self._resume(again, damage), damage)

    def verify(self, damage: Damage) -> Verdict:
        """What `nnlab verify` makes of the folder, which has the damage already."""
        code, text = ask("verify", self.run)
        blamed = re.findall(r"^(.+?): (?:damaged|missing): ", text, re.MULTILINE)
        if blamed not in ([], [damage.file]):
            return Verdict("wrong", f"{', '.join(blamed)} is blamed")
        if code == 1 and blamed:
            return FOUND
        if code == 0 and not blamed and not self._is_held(damage, text):
            return HARMLESS
        return Verdict("wrong", f"exit code {code}: {text}")

    def _is_held(self, damage: Damage, text: str) -> bool:
        """Whether `verify` has to find a damage."""
        if damage.file == ".lock":
            return False  # a process id, for people; the lock is the kernel's
        if damage.file == "manifest.json":
            return bool(damage.content) and json.loads(damage.content) != json.loads(self._whole(damage.file))
        if _REPLACED.fullmatch(damage.file) and not self._manifest.final:
            return f"{damage.file}: extra: newer than the manifest" not in text
        return not self._is_tail(damage)

    def _is_tail(self, damage: Damage) -> bool:
        """Whether a damage is in what a run has added since its last manifest, which the next one will hold."""
        entry = self._manifest.files.get(damage.file)
        return entry is not None and entry.grows and damage.first >= entry.size

    def _inspect(self, damage: Damage) -> Verdict:
        answer = ask("inspect", self.run)
        before = self._inspected.text.splitlines()
        new = [line for line in answer.text.splitlines() if line not in before]
        told = [line for line in new if not line.startswith(_SIZES)]
        if any(damage.file in line for line in new) and answer.code in (0, 2):
            return FOUND
        is_harmless = answer.code == 0 and (not told or self._is_tail(damage))
        return HARMLESS if is_harmless else Verdict("wrong", f"code {answer.code}: {told}")

    def _load(self, damage: Damage, which: str) -> Verdict:
        try:
            found = loaded(self.run, which)
        except ValueError as error:
            return _named(damage, str(error))
        return HARMLESS if found == self._loaded[which] else Verdict("wrong", "something else is loaded")

    def _evaluate(self, damage: Damage) -> Verdict:
        answer = ask("evaluate", self.run)
        if answer.code == 2:
            return _named(damage, answer.text)
        same = set(self._evaluated.text.splitlines()) <= set(answer.text.splitlines())
        return HARMLESS if answer.code == 0 and same else Verdict("wrong", f"code {answer.code}: {answer.text}")

    def _resume(self, folder: Path, damage: Damage) -> Verdict:
        before = ask("verify", folder).text
        answer = ask("resume", folder, *self._words)
        after = ask("verify", folder)
        if answer.code == 2:
            hidden = f"{damage.file}: damaged" in before and f"{damage.file}: damaged" not in after.text
            return Verdict("wrong", f"{damage.file} counts as whole now") if hidden else _named(damage, answer.text)
        if answer.code != 0:
            return Verdict("wrong", f"code {answer.code}: {answer.text[-500:]}")
        if trained(folder) != self._trained:
            return Verdict("wrong", "other rows or weights than without interruption")
        if after.code != 0:
            return Verdict("wrong", f"afterwards: {after.text}")
        said = answer.text + (folder / "result.json").read_text()
        return FOUND if damage.file in said else HARMLESS

    def _whole(self, file: str) -> bytes:
        return (self._kept / file).read_bytes()

    @contextlib.contextmanager
    def _damaged(self, damage: Damage) -> Iterator[None]:
        path = self.run / damage.file
        path.write_bytes(damage.content)
        try:
            yield
        finally:
            path.write_bytes(self._whole(damage.file))


def _named(damage: Damage, text: str) -> Verdict:
    if "Traceback" not in text and damage.file in text:
        return FOUND
    return Verdict("wrong", f"the message does not name {damage.file}: {text}")


def judged(verb: Callable[[Damage], Verdict], damage: Damage) -> Verdict:
    """A verb's verdict; an exception is one, too."""
    try:
        return verb(damage)
    except Exception as error:
        return Verdict("wrong", f"{type(error).__name__}: {error}")


def loaded(folder: Path, which: Any) -> list[Any]:
    """All that a loaded run is, its notes apart."""
    run = load_run(folder, which)
    parameters = {name: (list(x.shape), x.numpy().tobytes()) for name, x in run.model.state_dict().items()}
    columns = (run.task, run.input_names, run.target_names, run.class_names)
    whole = [run.name, dict(run.config), dict(run.options), run.fingerprint, run.threads, str(run.precision)]
    return [run.step, parameters, repr(run.model), run.preprocessing.to_json(), columns, *whole]


def trained(folder: Path) -> list[Any]:
    """What a training comes to: its rows, its last and best weights, the metrics on the test split."""
    rows = [
        [cell for index, cell in enumerate(line.split(",")) if index != 2]
        for line in (folder / "metrics.csv").read_text().splitlines()
    ]
    found: list[Any] = [rows, (folder / "trace.csv").read_bytes()]
    for which in ("last", "best"):
        step = json.loads((folder / "checkpoints" / f"{which}.json").read_text())["step"]
        tensors = safetensors.numpy.load_file(folder / "checkpoints" / f"{step}.safetensors")
        found += [step, {name: x.tobytes() for name, x in tensors.items() if name.startswith("model.")}]
    result = json.loads((folder / "result.json").read_text())
    return [*found, result["status"], result["epochs"], result["steps"], result["test"], result["best"]["step"]]


def damage(folder: Path, num_flips: int = 200, num_lengths: int = 40, num_resumed: int = 24, seed: int = 0) -> bool:
    """Damage a finished run and a killed one, and print how each kind of file was taken.

    Args:
        folder: an empty folder to work in.
        num_flips: bits that are flipped for each kind of file.
        num_lengths: lengths to which each file is cut.
        num_resumed: how many damages of each kind `resume` and `evaluate` are given.
        seed: of the bits.

    Returns:
        Whether nothing was taken wrongly.
    """
    runs = make_runs(folder)
    cases = ((runs.finished, runs.longer, [f"trainer.max_epochs={MORE_EPOCHS}"]), (runs.killed, runs.finished, []))
    counts: dict[str, Counter[tuple[str, str]]] = {kind: Counter() for kind in KINDS}
    for run, goal, words in cases:
        (folder / f"{run.name}_copies").mkdir()
        bench = Bench(run, goal, folder / f"{run.name}_copies", words)
        for kind in KINDS:
            _damage_kind(bench, run, kind, counts[kind], (num_flips, num_lengths, num_resumed), seed)
    verbs = ("verify", "inspect", "load best", "load last", "evaluate", "resume")
    print("damage: for each verb, tries: how many were found, how many harmless, how many WRONG")
    print(f"  {'':<20}" + "".join(f"{verb:>20}" for verb in verbs))
    for kind, count in counts.items():
        cells = [[count[verb, outcome] for outcome in ("found", "harmless", "wrong")] for verb in verbs]
        print(f"  {kind:<20}" + "".join(f"{f'{sum(c)}: {c[0]}, {c[1]}, {c[2]}':>20}" for c in cells))
    num_tries, num_wrong = (
        sum(number for count in counts.values() for (_, outcome), number in count.items() if outcome in outcomes)
        for outcomes in (("found", "harmless", "wrong"), ("wrong",))
    )
    print(f"damage: {num_tries:,} answers, {num_wrong} WRONG")
    return num_wrong == 0


def _damage_kind(
    bench: Bench, run: Path, kind: str, count: Counter[tuple[str, str]], numbers: tuple[int, int, int], seed: int
) -> None:
    num_flips, num_lengths, num_resumed = numbers
    files = files_of(run, kind)
    cuts = [one for file in files for one in cut_short(run, file, num_lengths)]
    flips = list(flipped(run, files, num_flips, random.Random(seed)))
    few = [*_spread(cuts, num_resumed // 2), *_spread(flips, num_resumed // 2)]
    for one in (*cuts, *flips):
        for verb, verdict in bench.verdicts(one).items():
            _count(count, f"{run.name}: {verb}", verb, one, verdict)
    for one in few:
        _count(count, f"{run.name}: evaluate", "evaluate", one, bench.evaluate(one))
        _count(count, f"{run.name}: resume", "resume", one, bench.resume(one))


def _spread(damages: Sequence[Damage], number: int) -> list[Damage]:
    return [damages[index * len(damages) // number] for index in range(number)] if damages else []


def _count(count: Counter[tuple[str, str]], where: str, verb: str, damage: Damage, verdict: Verdict) -> None:
    count[verb, verdict.outcome] += 1
    if verdict.problem:
        print(f"  {where}, {damage.file}, {damage.how}: {verdict.problem[:400]}", flush=True)
