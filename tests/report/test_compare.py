"""`nnlab compare` from the command line: text, page, figures, exit codes; and what a sweep ends with."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from nnlab.cli import main
from run_files import write_run


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, (optim, seed) in enumerate((optim, seed) for optim in ("sgd", "adam") for seed in (0, 1, 2)):
        best = 0.3 + seed / 50 if optim == "sgd" else 0.1 + seed / 100
        folder = write_run(Path("sweep") / f"{number}_{optim}", [0.5, best], optim=optim, seed=seed)
        write_map(folder, seed)
    return Path("sweep")


def write_map(folder, seed):
    (folder / "arrays").mkdir()
    names = {"class_names": np.array(["a", "b"]), "input_names": np.array(["x", "y"])}
    np.savez(folder / "arrays" / "about.npz", **names)
    codes = np.random.default_rng(seed).integers(0, 2, (5, 4))
    np.savez(
        folder / "arrays" / "grid.npz", x=np.arange(4.0), y=np.arange(5.0), codes=codes, confidence=codes * 0.5 + 0.5
    )


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.words.append(data)


def test_compare_prints_the_table_and_writes_nothing(sweep, capsys):
    before = sorted(Path().rglob("*"))
    assert main(["compare", "sweep"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("valid/loss of 6 runs in 2 groups; less is better\n\noptim")
    assert "optim=adam is better than optim=sgd" in out
    assert sorted(Path().rglob("*")) == before


def test_compare_takes_every_flag(sweep, capsys):
    words = ["--by", "optim,seed", "--where", "seed<2,optim=adam", "--target", "0.105", "--sort", "group"]
    assert (
        main(["compare", *words, "--interval=bootstrap_t", "--metric", "train/loss", "--format", "json", "sweep"]) == 0
    )
    content = json.loads(capsys.readouterr().out)
    assert [group["group"] for group in content["groups"]] == [
        {"optim": "adam", "seed": "0"},
        {"optim": "adam", "seed": "1"},
    ]
    assert (content["metric"], content["interval"], content["target"]) == ("train/loss", "bootstrap_t", 0.105)
    assert [group["reached"] for group in content["groups"]] == [1, 1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected folders of runs or sweeps"),
        (["nowhere"], "there is no folder nowhere"),
        (["sweep", "--metric", "valid/f1"], "no run has 'valid/f1'"),
        (["sweep", "--by", "optm"], "no run has 'optm'"),
        (["sweep", "--where", "optim~adam"], "expected key=value"),
        (["sweep", "--target", "low"], "--target"),
        (["sweep", "--format", "yaml"], "--format"),
        (["sweep", "--metrics", "x"], "--metrics"),
        (["sweep", "--target", "nan"], "--target: expected a finite number, found nan"),
        (["sweep", "--by", ","], "--by: expected keys"),
        (["sweep", "--html", "sweep"], "--html: expected a file, such as sweep/report.html; sweep is a folder"),
        (
            ["sweep", "--figures", "sweep/0_sgd/run.json"],
            "--figures: expected a folder; sweep/0_sgd/run.json is",
        ),
    ],
)
def test_compare_refuses_mistakes_in_a_line_with_exit_code_2(sweep, capsys, words, message):
    assert main(["compare", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("nnlab compare: ")
    assert message in error
    assert error.count("\n") == 1


def test_conditions_on_lists_are_not_parted_at_the_commas_of_the_list(sweep, capsys):
    for number, widths in enumerate(([32, 32], [8], [32, 32])):
        write_run(sweep / f"{number + 6}", seed=number, config={"model": {"widths": widths}})
    for typed in ("model.widths=[32,32],seed<2", "model.widths==[32, 32],seed<2"):
        assert main(["compare", "sweep", "--where", typed, "--format", "json"]) == 0
        (group,) = json.loads(capsys.readouterr().out)["groups"]
        assert group["folders"] == ["sweep/6"]


def test_a_finished_run_whose_table_lost_rows_is_left_out_and_named(sweep, capsys):
    table = sweep / "1_sgd" / "metrics.csv"
    table.write_text(table.read_text().rpartition("\n2,")[0] + "\n")
    (sweep / "2_sgd" / "metrics.csv").unlink()
    assert main(["compare", "sweep", "--format", "csv"]) == 2
    printed = capsys.readouterr()
    assert printed.out.splitlines()[2].startswith("sgd,1,0.3,")
    assert "1_sgd/metrics.csv ends at step 10 of 20, and the run is completed: rows are missing" in printed.err
    assert "2_sgd/metrics.csv has no rows" in printed.err


def test_a_damaged_run_is_named_beside_the_table_and_the_code_is_2(sweep, capsys):
    (sweep / "0_sgd" / "run.json").write_text("{")
    assert main(["compare", "sweep", "--format", "csv"]) == 2
    printed = capsys.readouterr()
    assert printed.out.splitlines()[2].startswith("sgd,2,")
    assert "0_sgd/run.json cannot be read" in printed.err


def test_page_is_one_file_with_table_figures_runs_commands_and_environment(sweep, capsys):
    assert main(["compare", "sweep", "--html", "new/report.html", "--figures", "pictures"]) == 0
    assert "page       new/report.html" in capsys.readouterr().out
    text = Path("new/report.html").read_text()
    page = Page(text)
    words = " ".join(page.words)
    for expected in ("optim=adam is better than optim=sgd", "0.110", "sweep/5_adam", "2.13.0+cpu"):
        assert expected in words
    assert "nnlab train optim=adam optim.lr=0.001 seed=0" in words
    assert "nnlab compare sweep --html new/report.html --figures pictures" in words
    assert page.tags.count("svg") == 3
    assert {path.name for path in Path("pictures").iterdir()} == {
        f"{name}.{ending}" for name in ("curves", "strip", "maps") for ending in ("png", "svg")
    }


def test_page_refers_to_nothing_outside_itself(sweep):
    main(["compare", "sweep", "--html", "report.html"])
    page = Page(Path("report.html").read_text())
    assert not {"link", "img", "iframe", "object", "embed"} & set(page.tags)
    outside = [value for name, value in page.attributes if name in ("src", "href", "xlink:href", "action")]
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in outside)
    assert "url(http" not in Path("report.html").read_text()


HOSTILE = "<script>document.title='broken'</script>&\"'\x1b[31m"


def test_names_from_configs_are_text_on_the_page(sweep):
    write_run(sweep / "6", [0.4], optim=HOSTILE, overrides=[f"x={HOSTILE}"], config={HOSTILE: HOSTILE})
    assert main(["compare", "sweep", "--html", "report.html"]) == 0
    text = Path("report.html").read_text()
    assert "document.title=" in text
    assert "<script>document.title" not in text
    assert "\x1b" not in text
    assert Page(text).tags.count("script") == 1


def test_page_in_a_browser_shows_its_tables_runs_its_own_script_and_no_other(sweep, chromium):
    write_run(sweep / "6", [0.4], optim=HOSTILE)
    main(["compare", "sweep", "--html", "report.html"])
    expected = {"optim=adam is better than", "The groups", "sweep/5_adam", "Where it ran"}
    address = Path("report.html").absolute().as_uri()
    assert chromium.shown(address, expected, timeout_s=20) == expected
    assert chromium.run(address, "document.title") != "broken"
    by_runs = (
        "(() => { const table = document.querySelectorAll('table.sortable')[1];"
        "const head = [...table.tHead.rows[0].cells].findIndex(c => c.textContent.startsWith('best'));"
        "table.tHead.rows[0].cells[head].querySelector('button').click();"
        "const low = table.tBodies[0].rows[0].cells[head].textContent;"
        "table.tHead.rows[0].cells[head].querySelector('button').click();"
        "return low + ' ' + table.tBodies[0].rows[0].cells[head].textContent; })()"
    )
    assert chromium.run(address, by_runs) == "0.1 0.4"
    wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert chromium.run(address, wide) is True


def test_a_figure_that_cannot_be_drawn_is_said_and_the_rest_is_written(sweep, capsys):
    (sweep / "3_adam" / "arrays" / "grid.npz").write_bytes(b"PK nonsense")
    assert main(["compare", "sweep", "--html", "report.html"]) == 0
    assert "the figure maps could not be drawn" in capsys.readouterr().err
    assert Page(Path("report.html").read_text()).tags.count("svg") == 2


def test_compare_imports_no_torch_and_without_a_page_no_matplotlib(sweep):
    code = (
        "import sys; from nnlab.cli import main; main(['compare', 'sweep']); "
        "print({'torch', 'matplotlib', 'hydra', 'scipy.stats'} & sys.modules.keys()); "
        "main(['compare', 'sweep', '--html', 'r.html']); print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    lines = out.splitlines()
    assert "set()" in lines
    assert lines[-1] == "False"


def test_a_sweep_ends_with_the_comparison_and_where_the_page_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["data=moons", "logger=[]", "trainer.threads=1", "trainer.max_epochs=2", "model.width=4"]
    code = main(["train", "-m", *words, "optim=sgd,adam", "optim.lr=0.1,1e30", "hydra.sweep.dir=sweep"])
    out = capsys.readouterr().out
    assert code == 0
    assert "valid/loss of 4 runs in 4 groups; less is better" in out
    assert "page       sweep/comparison.html" in out
    assert "nnlab compare sweep" in out
    assert "diverged" in Path("sweep/comparison.csv").read_text()
    assert {"curves.png", "heat_map.svg"} <= {path.name for path in Path("sweep/figures").iterdir()}
    assert Page(Path("sweep/comparison.html").read_text()).tags.count("svg") >= 3


def test_a_sweep_of_which_nothing_can_be_compared_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["data=moons", "logger=[]", "trainer.threads=1", "trainer.max_epochs=1", "optim=sgd"]
    assert main(["train", "-m", *words, "optim.lr=1e30,1e31", "hydra.sweep.dir=sweep"]) == 0
    assert "no comparison: none of the runs got as far as an evaluation" in capsys.readouterr().out
