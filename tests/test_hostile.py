"""Hostile run folders, given to every verb that opens one: refused in words, nothing executed, nothing touched."""

import contextlib
import importlib.util
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import pytest

from nnlab import load_run
from nnlab.cli import main
from nnlab.config import ConfigError
from nnlab.manifest import write_manifest
from nnlab.trust import check_config


def _beside(name):
    """A module that lies beside this one; tests are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


corpus = _beside("hostile_corpus")

TRAIN = (
    *("data=iris", "model.width=6", "trainer.max_epochs=2", "trainer.checkpoint_every=1ep", "trainer.threads=1"),
    *("device=cpu", "callback=[trace,early_stopping]"),
)
ROWS = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n5.1,3.5,1.4,0.2\n"
COMMANDS = {
    "inspect": ["inspect", "run"],
    "inspect --json": ["inspect", "run", "--json"],
    "verify": ["verify", "run"],
    "compare": ["compare", "run"],
    "evaluate": ["evaluate", "run"],
    "predict": ["predict", "run", "--input", "rows.csv", "--output", "out.csv"],
    "export": ["export", "run", "--format", "torch_export"],
    "resume": ["resume", "run"],
    "resume more": ["resume", "run", "trainer.max_epochs=4"],
}
#: verbs that never write into the folder
READING = (*corpus.INSPECT, *corpus.VERIFY, "compare", "evaluate", "predict", "load_run")
#: seconds within which every verb has to answer
PATIENCE_S = 30
#: bytes that answering may take at most, beyond what the process has taken before
MOST_MEMORY = 300 << 20


# --- what the process does, as the interpreter itself reports it ------------------------------------------------------

EXECUTES = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn")
EXECUTES += ("subprocess.Popen", "pickle.find_class", "webbrowser.open", "urllib.Request", "code.__new__")
EXECUTES += ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname")
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
CHANGES += ("os.chown", "os.utime", "shutil.rmtree", "shutil.move")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FORBIDDEN = ("setuptools", "pip", "distutils", "evil", "_distutils_hack")


class Watch:
    """What happens while it is armed. There is one: an audit hook (PEP 578) can never be taken out again."""

    def __init__(self):
        self.root = None
        self.found = []
        self.secret = ""

    def hook(self, event, args):
        if self.root is None:
            return
        root, self.root = self.root, None
        try:
            self._note(event, args, root)
        finally:
            self.root = root

    def _note(self, event, args, root):
        if event in EXECUTES:
            self.found.append(f"{event}{args!r}"[:200])
        elif event == "import" and str(args[0]).split(".")[0] in FORBIDDEN:
            self.found.append(f"import {args[0]}")
        elif event in CHANGES:
            self.found += [f"{event} {path}" for path in args[:2] if _is_path(path) and self._is_outside(path, root)]
        elif event == "open" and _is_path(args[0]):
            path, flags = os.fsdecode(args[0]), args[2] if isinstance(args[2], int) else 0
            # What is not followed is refused by the system, after this hook.
            where = path if flags & os.O_NOFOLLOW else os.path.realpath(path)
            if flags & WRITING and self._is_outside(where, root):
                self.found.append(f"written: {path}")
            if where == self.secret:
                self.found.append(f"read: {path}")

    def _is_outside(self, path, root):
        where = os.path.realpath(os.path.dirname(os.path.abspath(os.fsdecode(path))))
        full = os.path.join(where, os.path.basename(os.fsdecode(path)))
        allowed = (f"{root}/run/", f"{root}/run", f"{root}/out.csv", f"{root}/.out.csv.")
        return not full.startswith(allowed) and "__pycache__" not in full and full != os.devnull

    @contextlib.contextmanager
    def armed(self, root):
        self.found, self.secret = [], os.path.realpath(root / corpus.SECRET)
        self.root = os.path.realpath(root)
        try:
            yield self.found
        finally:
            self.root = None


def _is_path(value):
    return isinstance(value, str | bytes | os.PathLike)


WATCH = Watch()


@pytest.fixture(scope="module", autouse=True)
def watch():
    sys.addaudithook(WATCH.hook)


# --- an honest run, and a copy of it to be spoilt ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A run of three epochs that was killed after its second; a resume goes on with it, and every verb is loaded."""
    work = tmp_path_factory.mktemp("honest")
    before = os.getcwd()
    os.chdir(work)
    try:
        assert main(["train", *TRAIN, "hydra.run.dir=run"]) == 0
        corpus.put("run.json", "config/trainer/max_epochs", 3)(Path("run"))
        corpus.put("result.json", "status", "running")(Path("run"))
        write_manifest(Path("run"), final=False)
        Path("rows.csv").write_text(ROWS)
        shutil.copytree("run", "kept")
        assert [main(words) for words in COMMANDS.values()] == [0] * len(COMMANDS)
    finally:
        os.chdir(before)
    return work / "kept"


@pytest.fixture
def work(honest, tmp_path, monkeypatch):
    """An empty place for hostile folders, with what they would like to reach."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "outside"))
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "outside").mkdir()
    (tmp_path / corpus.SECRET).write_text('{"secret": "xyzzy", "step": 6}')
    (tmp_path / corpus.TABLE).write_text("epoch,step\n1,3\n2,6\n")
    (tmp_path / "bomb.pt").write_bytes(corpus.torch_archive())
    evil = tmp_path / "packages" / "evil"
    evil.mkdir(parents=True)
    (evil / "__init__.py").write_text("import os\nos.mkdir('pwned')\n")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    return tmp_path


def spoilt(honest, work, change):
    """A fresh copy of the honest run, made hostile, its manifest too: only a careless forger is found by that."""
    for name in ("run", "outside/moved"):
        if (work / name).is_symlink() or not (work / name).is_dir():
            continue
        shutil.rmtree(work / name)
    run = Path(shutil.copytree(honest, work / "run"))
    before = contents(run)[str(run / "manifest.json")]
    change(run)
    after = contents(run)
    # Nobody has the time to make a manifest of terabytes.
    if after.get(str(run / "manifest.json")) == before and all(size < 1 << 30 for _, _, size, *_ in after.values()):
        write_manifest(run, final=False)
    return run


def contents(folder):
    """Everything in a folder, with what changes when it is written, replaced or renamed; nothing is opened."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for path in (os.path.join(parent, name) for name in (*folders, *files)):
            status = os.lstat(path)
            found[path] = (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


def beside(work):
    """The same of what lies beside the hostile folder; ``predict`` may write its output there."""
    here, allowed = contents(work), (f"{work}/run", f"{work}/out.csv")
    return {path: what for path, what in here.items() if path not in allowed and not path.startswith(f"{work}/run/")}


class TooSlow(BaseException):
    """A verb that waits."""


def _too_slow(number, frame):
    raise TooSlow


@contextlib.contextmanager
def in_time():
    before = signal.signal(signal.SIGALRM, _too_slow)
    left, every = signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)  # the whole test's own alarm
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, every)
        signal.signal(signal.SIGALRM, before)


def give(verb, capsys):
    """Give the folder to a verb.

    Returns:
        Exit code, and what was printed.
    """
    capsys.readouterr()
    if verb == "load_run":
        try:
            load_run("run")
        except ValueError as error:
            return 2, str(error)
        return 0, ""
    try:
        code = main(COMMANDS[verb])
    except SystemExit as ending:
        code = ending.code
    printed = capsys.readouterr()
    return code, printed.err + printed.out


def problems(case, verb, work, capsys):
    """What a verb did wrong with a hostile folder, in words."""
    outside, before, environment, memory = beside(work), contents("run"), dict(os.environ), _peak()
    try:
        with WATCH.armed(work) as happened, in_time():
            code, text = give(verb, capsys)
    except TooSlow:
        return ["it waits"]
    except Exception as error:
        return [f"{type(error).__name__}: {str(error)[:300]}"]
    found = list(happened)
    if "Traceback" in text:
        found.append(f"a traceback: {text[-600:]}")
    if verb != "load_run" and not all(char.isprintable() or char == "\n" for char in text):
        found.append(f"raw text: {text[:2000]!r}")
    if "xyzzy" in text:
        found.append("the secret is told")
    if verb in case.refused:
        wanted = 1 if verb == "verify" else 2
        if code != wanted or case.says not in text:
            found.append(f"expected {wanted} and {case.says!r}, found {code} and {text[:700]!r}")
    elif code not in (0, 1, 2):
        found.append(f"exit code {code}")
    after = contents("run")
    if (code == 2 or verb in READING) and after != before:
        found.append(f"changed: {sorted(x for x in {*before, *after} if before.get(x) != after.get(x))}")
    there = beside(work)
    if there != outside:
        found.append(f"changed outside: {sorted(x for x in {*there, *outside} if there.get(x) != outside.get(x))}")
    if dict(os.environ) != environment:
        found.append("the environment is changed")
    if _peak() - memory > MOST_MEMORY:
        found.append(f"{(_peak() - memory) >> 20} MiB were taken")
    return found


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def assert_harmless(case, verbs, honest, work, capsys):
    """Every verb is given a fresh copy, unless the one before left it as it was."""
    said, is_fresh = {}, False
    # Where there is nothing to refuse, the slow ones say no more than those of their kind.
    for verb in (verb for verb in verbs if verb in case.refused or verb not in corpus.SLOW):
        if not is_fresh:
            with in_time():
                spoilt(honest, work, case.change)
        before = contents("run")
        found = problems(case, verb, work, capsys)
        is_fresh = contents("run") == before
        if found:
            said[verb] = found
    assert not said, "\n".join(f"{verb}: {'; '.join(found)}" for verb, found in said.items())


def test_honest_run_is_taken_by_every_verb(honest, work, capsys):
    for verb in corpus.EVERY:
        spoilt(honest, work, lambda run: None)
        code, text = give(verb, capsys)
        assert code == 0, text


PLACES = list(corpus.places())
DIAGONAL = [
    (place, corpus.TARGETS[(5 * index) % len(corpus.TARGETS)])
    for index, place in enumerate(PLACES)
    if place not in corpus.UNREAD
]


@pytest.mark.parametrize(("place", "node"), DIAGONAL, ids=[place for place, _ in DIAGONAL])
def test_target_in_every_place_is_refused_by_every_verb(place, node, honest, work, capsys):
    says = "trainer.max_epochs" if place.startswith("trainer.max_epochs") else "run.json"  # typed, too
    case = corpus.Case(corpus.with_target(place, node), corpus.TRAINED, says)
    assert_harmless(case, corpus.EVERY, honest, work, capsys)


@pytest.mark.parametrize("name", corpus.VALUES)
def test_value_that_no_run_has_is_refused_or_stays_text(name, honest, work, capsys):
    assert_harmless(corpus.VALUES[name], corpus.EVERY, honest, work, capsys)


@pytest.mark.parametrize("kind", corpus.TEXTS)
@pytest.mark.parametrize("file", corpus.JSON_FILES)
def test_text_that_is_no_run_s_is_refused(file, kind, honest, work, capsys):
    case = corpus.Case(corpus.write(file, corpus.TEXTS[kind]), corpus.refusers(file, kind), file.rpartition("/")[2])
    # Whoever need not read the file is asked once.
    assert_harmless(case, corpus.EVERY if kind == "YAML" else case.refused, honest, work, capsys)


@pytest.mark.parametrize("kind", corpus.PAYLOADS)
def test_payload_that_is_no_safetensors_is_refused(kind, honest, work, capsys):
    case = corpus.Case(corpus.forge("safetensors", corpus.PAYLOADS[kind]), corpus.TRAINED, "checkpoints/6.")
    assert_harmless(case, corpus.EVERY, honest, work, capsys)


@pytest.mark.parametrize("kind", corpus.STATES)
def test_state_of_a_forger_is_refused(kind, honest, work, capsys):
    case = corpus.Case(corpus.STATES[kind], () if kind in corpus.PASSED_OVER else corpus.RESUMES, "run/")
    assert_harmless(case, corpus.RESUMES, honest, work, capsys)


ODD = dict(corpus.odd_files())


@pytest.mark.parametrize("name", ODD)
def test_what_is_no_plain_file_is_refused_and_not_waited_for(name, honest, work, capsys):
    assert_harmless(ODD[name], corpus.EVERY, honest, work, capsys)


@pytest.mark.parametrize("name", corpus.BESIDE)
def test_what_lies_beside_stays_where_it_is(name, honest, work, capsys):
    assert_harmless(corpus.BESIDE[name], corpus.EVERY, honest, work, capsys)


def test_link_for_a_temporary_export_is_not_written_through(honest, work, capsys):
    case = corpus.Case(corpus.temporary("export/model.pt2"))
    spoilt(honest, work, case.change)
    assert not problems(case, "export", work, capsys)
    assert Path("run/export/model.pt2").is_file()


def test_every_target_in_every_place_is_refused_unimported(honest, work):
    places = corpus.places()
    with WATCH.armed(work) as happened:
        for place in (name for name in places if "," not in name and name not in corpus.UNREAD):
            for node in corpus.TARGETS[::2] if "." in place else corpus.TARGETS:
                config = corpus.read(honest / "run.json")["config"]
                places[place](config, node)
                with pytest.raises(ConfigError):
                    check_config(config, ())
    assert not happened
