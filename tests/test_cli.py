"""Verbs, pages and exit codes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nnlab
from nnlab.cli import main
from nnlab.config import GROUPS, Library
from nnlab.help import VERBS

SOURCE = str(Path(nnlab.__file__).parents[1])


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed_by(capsys, *words, code=0):
    assert main(words) == code
    return capsys.readouterr().out


def test_version_is_the_packages(capsys):
    assert printed_by(capsys, "--version") == f"nnlab {nnlab.__version__}\n"
    assert printed_by(capsys, "-V") == f"nnlab {nnlab.__version__}\n"


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_shows_every_verb_and_first_steps(words, capsys):
    page = printed_by(capsys, *words)
    for verb, meaning in VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(meaning)}$", page, re.MULTILINE)
    assert "nnlab train -m optim=sgd,adam 'seed=range(3)'" in page


@pytest.mark.parametrize("words", [["train", "--help"], ["train", "-h"], ["train", "optim=sgd", "--help"]])
def test_train_help_shows_every_group_and_option_and_what_is_chosen(words, capsys):
    page = printed_by(capsys, *words)
    library = Library()
    for group in library.groups:
        chosen = ",".join(library.default_choices()[group]) or "none"
        line = f"  {group}={chosen}\n      {GROUPS[group]}: {', '.join(library.options(group))}\n"
        assert line in page
    for words in ("seed=0", "--multirun", "--cfg job", "--config-dir DIR", "hydra.run.dir=", "exit codes: 0 done"):
        assert words in page


def test_list_gives_every_option_of_every_group_its_meaning(capsys):
    page = printed_by(capsys, "list")
    library = Library()
    for group in library.groups:
        assert f"{group}: {GROUPS[group]}" in page
        for option in library.options(group).values():
            assert re.search(rf"^  {option.name} +{re.escape(option.meaning)}$", page, re.MULTILINE)


def test_list_of_a_group_has_its_options_only(capsys):
    page = printed_by(capsys, "list", "optim")
    assert "  adam " in page
    assert "  rings " not in page
    assert "nnlab train --cfg job --package optim" in page


def test_list_of_models_has_the_activations(capsys):
    from nnlab.model import ACTIVATIONS

    page = printed_by(capsys, "list", "model")
    listed = re.findall(r"\w+", page.partition("activations:")[2])
    assert sorted(listed) == sorted(ACTIVATIONS)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("train", "dashboard")])
def test_other_verbs_have_a_page_with_usage_and_an_example(verb, capsys):
    page = printed_by(capsys, verb, "--help")
    assert page.startswith(f"usage: nnlab {verb} ")
    assert f"\n  nnlab {verb}" in page


def test_pages_fit_a_terminal_of_120_columns(capsys):
    for words in (["--help"], ["train", "--help"], ["list"], ["list", "--help"], ["data", "--help"]):
        long = [line for line in printed_by(capsys, *words).splitlines() if len(line) > 120]
        assert not [line for line in long if not line.startswith("      ")]  # a group's options are one line


def test_every_example_of_the_pages_is_a_command_that_is_right(capsys):
    """The examples that train are checked, not run."""
    import shlex

    from nnlab.arguments import split_arguments
    from nnlab.check import check

    pages = [printed_by(capsys, *words) for words in (["--help"], ["train", "--help"])]
    lines = [line.strip() for page in pages for line in page.splitlines() if line.strip().startswith("nnlab train")]
    assert len(lines) >= 7
    for line in lines:
        words = shlex.split(re.split(r"  +", line)[0])[2:]
        arguments = split_arguments(words)
        assert check(arguments.overrides, Library(), "--multirun" in arguments.flags).problems == []


REFUSED = {
    ("trian",): "nnlab trian: there is no verb 'trian'; did you mean train?",
    ("xyz",): "nnlab xyz: there is no verb 'xyz'; there are train, list",
    ("list", "nonsense"): "there is no group 'nonsense'; there are data, model",
    ("list", "optm"): "there is no group 'optm'; did you mean optim?",
    ("list", "a", "b"): "expected one group at most, found a b",
    ("list", "-m"): "-m: there is no such flag; there are --config-dir, --help",
    ("--completion", "fish"): "expected bash, found 'fish'",
    ("train", "--cfg", "nonsense"): "--cfg: expected job, hydra or all",
    ("train", "--cfg", "job", "optim=adm"): "did you mean adam",
    ("train", "--cfg", "job", "--resolve", "optim.lr=abc"): "expected a number, found 'abc'",
    ("train", "--config-dir", "no/such", "optim=mine"): "--config-dir: there is no folder no/such",
    ("data", "data=irs"): "data has no option 'irs'; did you mean iris",
    ("data", "data.batch_size=0"): "data.batch_size: expected at least 1, found 0",
    ("data", "--cfg", "job"): "--cfg: there is no such flag",
    ("model", "model.depth=-1"): "model.depth",
    ("model", "-m", "seed=1,2"): "-m: there is no such flag",
    ("model", "seed=1,2"): "several values make a sweep",
}


@pytest.mark.parametrize("words", REFUSED)
def test_wrong_words_end_with_2_and_a_message(words, work, capsys):
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert REFUSED[words] in printed.err
    assert "Traceback" not in printed.err
    assert list(work.iterdir()) == []


def test_many_problems_are_counted_and_each_has_a_line(capsys):
    assert main(["train", "optm=1", "sed=2"]) == 2
    first, *others = capsys.readouterr().err.splitlines()
    assert first == "nnlab train: 2 problems"
    assert [line[:7] for line in others] == ["  optm=", "  sed=2"]


def test_cfg_job_prints_the_config_without_running(work, capsys):
    import yaml

    config = yaml.safe_load(printed_by(capsys, "train", "optim=sgd", "--cfg", "job", "optim.lr=0.5"))
    assert config["optim"]["_target_"] == "torch.optim.SGD"
    assert config["optim"]["lr"] == 0.5
    assert "hydra" not in config
    assert list(work.iterdir()) == []


def test_cfg_of_a_package_prints_that_part(work, capsys):
    page = printed_by(capsys, "train", "--cfg=job", "-p", "schedule", "schedule=cosine")
    assert page.startswith("# @package schedule\n")
    assert "eta_min: 0.0" in page


@pytest.mark.parametrize("what", ["all", "defaults", "searchpath", "plugins"])
def test_info_tells_what_hydra_makes_of_it(what, work, capsys):
    assert printed_by(capsys, "train", "--info", what)
    assert list(work.iterdir()) == []


@pytest.fixture
def own_configs(work):
    for name, content in {
        "optim/mine.yaml": "# My own Adam\n_target_: torch.optim.Adam\nlr: 0.5\n",
        "lab/tests.yaml": "# Ünïcode, too\nrate: 0.25\n",
    }.items():
        path = work / "my configs" / name
        path.parent.mkdir(parents=True)
        path.write_text(content, encoding="utf-8")
    return "my configs"


def test_configs_of_the_users_own_are_listed_and_composed(own_configs, capsys):
    assert "  mine      My own Adam" in printed_by(capsys, "list", "optim", "--config-dir", own_configs)
    assert "lab: your own; add it with +\n  tests  Ünïcode, too" in printed_by(
        capsys, "list", f"--config-dir={own_configs}"
    )
    assert "mine, nadam" in printed_by(capsys, "train", "--help", "-cd", own_configs)
    page = printed_by(
        capsys, "train", "optim=mine", "--cfg", "job", "+lab=tests", "--config-dir", own_configs, "seed=3"
    )
    assert "lr: 0.5" in page
    assert "rate: 0.25" in page


def test_flags_among_overrides_make_a_sweep(work, capsys):
    words = ["optim=sgd", "-m", "seed=1,2", "trainer.dry_run=true", "data.num_train=100", "logger=[]"]
    assert main(["train", *words]) == 0
    members = sorted(path.name for path in Path("outputs/rings").glob("*/*") if (path / "run.json").exists())
    assert members == ["0_seed=1", "1_seed=2"]


def environment(**changes):
    """The usual one, with output buffered as in a user's shell."""
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return usual | {"PYTHONPATH": SOURCE} | changes


def test_pages_import_neither_torch_nor_hydra(tmp_path):
    script = """
import io, os, sys
from nnlab.cli import main
real, sys.stdout = sys.stdout, io.StringIO()
for words in (["--help"], ["train", "--help"], ["list"], ["list", "model"], ["--version"], ["--completion"],
              ["data", "--help"], ["model", "--help"], ["list", "nonsense"], ["trian"]):
    main(words)
os.environ["COMP_LINE"] = "nnlab train optim=sgd optim."
main(["--complete", "bash"])
sys.stdout = real
print([name for name in ("torch", "hydra", "omegaconf", "numpy", "rich") if name in sys.modules])
"""
    answer = subprocess.run(
        [sys.executable, "-c", script], env=environment(), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("words", [["--version"], ["list"], ["train", "--help"]])
def test_pipe_that_is_closed_early_is_no_error(words):
    with subprocess.Popen(
        [sys.executable, "-m", "nnlab", *words], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_terminal_that_lacks_a_sign_gets_the_page_all_the_same():
    answer = subprocess.run(
        [sys.executable, "-m", "nnlab", "--help"],
        env=environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        check=True,
    )
    assert b"[key=value] ?" in answer.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_ends_with_1_and_says_why():
    with open("/dev/full", "w") as full:
        answer = subprocess.run(
            [sys.executable, "-m", "nnlab", "list"], env=environment(), stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert answer.returncode == 1
    assert answer.stderr == "nnlab list: [Errno 28] No space left on device\n"


def test_interrupt_before_anything_runs_ends_with_130(monkeypatch, capsys):
    import nnlab.help

    def interrupted(*words):
        raise KeyboardInterrupt

    monkeypatch.setattr(nnlab.help, "list_page", interrupted)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "nnlab list: interrupted\n"
