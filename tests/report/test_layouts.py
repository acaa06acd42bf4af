"""The comparison as text in every notation."""

import csv
import io
import json
import re

import pytest

from nnlab.report.comparison import Asked, compare
from nnlab.report.layouts import FORMATS, layout
from nnlab.report.members import find_runs
from nnlab.report.runs import read_runs
from run_files import write_run


@pytest.fixture
def compared(tmp_path):
    def make(runs, **asked):
        for number, one in enumerate(runs):
            write_run(tmp_path / f"{number}", **one)
        return compare(read_runs(find_runs([tmp_path]))[0], Asked(**asked))

    return make


RUNS = [
    *({"losses": [0.5, value], "seed": seed, "optim": "adam"} for seed, value in enumerate((0.10, 0.12, 0.11))),
    *({"losses": [0.5, value], "seed": seed, "optim": "sgd"} for seed, value in enumerate((0.20, 0.24, 0.28))),
    {"losses": [0.5], "seed": 3, "optim": "sgd", "status": "diverged"},
]


def test_table_says_what_differs_how_sure_it_is_and_what_is_missing(compared):
    assert layout(compared(RUNS), "table").splitlines() == [
        "valid/loss of 7 runs in 2 groups; less is better",
        "",
        "optim  n  valid/loss   95 % interval  median  test/loss  steps   time  diverged",
        "adam   3       0.110  0.085 to 0.135    0.11          -     20  0.2 s",
        "sgd    3       0.240  0.141 to 0.339    0.24          -     20  0.2 s    1 of 4",
        "",
        "optim=adam is better than optim=sgd in valid/loss by 0.130 "
        "(95 % interval 0.040 to 0.220, paired over 3 seeds)",
        "",
        "note: optim=sgd: the mean is without 1 diverged of 4 runs",
    ]


def test_table_with_a_target_has_times_and_who_reached_it(compared):
    lines = layout(compared(RUNS, target=0.12), "table").splitlines()
    assert re.split(r"  +", lines[2])[-4:] == ["steps to 0.12", "time", "reached", "diverged"]
    assert re.split(r"  +", lines[3])[-3:] == ["20", "0.2 s", "3 of 3"]
    assert re.split(r"  +", lines[4])[-4:] == ["never", "never", "0 of 4", "1 of 4"]


def test_csv_can_be_read_back_with_all_digits(compared):
    rows = list(csv.DictReader(io.StringIO(layout(compared(RUNS), "csv"))))
    assert [row["optim"] for row in rows] == ["adam", "sgd"]
    assert float(rows[0]["mean"]) == (0.10 + 0.12 + 0.11) / 3
    assert rows[0]["test"] == ""
    assert rows[1]["diverged"] == "1"


def test_json_holds_every_value_and_difference(compared):
    content = json.loads(layout(compared(RUNS), "json"))
    assert [group["group"] for group in content["groups"]] == [{"optim": "adam"}, {"optim": "sgd"}]
    assert [value["value"] for value in content["groups"][0]["values"]] == [0.10, 0.12, 0.11]
    assert content["differences"][0]["verdict"] == "better"
    assert len(content["groups"][1]["folders"]) == 4
    assert content["notes"] == ["optim=sgd: the mean is without 1 diverged of 4 runs"]


HOSTILE = {
    "csv": ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
    "markdown": ("a|b`<img>", r"a\|b\`\<img\>"),
    "latex": (r"a_b%&\input{x}", r"a\_b\%\&\textbackslash{}input\{x\}"),
    "table": ("a\x1b[31m\u202e", r"a\x1b[31m\u202e"),
    "json": ("a\x1b[31m\u202e", r"a\u001b[31m\u202e"),
}


@pytest.mark.parametrize("form", FORMATS)
def test_names_from_configs_do_nothing_in_any_notation(compared, form):
    name, escaped = HOSTILE[form]
    text = layout(compared([RUNS[0], RUNS[3] | {"optim": name}]), form)
    # What LaTeX takes for a comment runs to the end of its line, and no name ends a line.
    acting = "\n".join(line for line in text.splitlines() if not line.startswith("% "))
    assert escaped in acting
    assert name not in acting.replace(escaped, "")


def test_many_groups_get_a_sentence_each_for_the_best_and_a_count_for_the_rest(compared):
    runs = [{"losses": [lr + seed * lr / 100], "seed": seed, "lr": lr} for lr in range(1, 11) for seed in (0, 1, 2)]
    text = layout(compared(runs), "table")
    assert text.count(" is better than ") == 6
    assert "of the 3 other groups: 3 worse than it (--format json has all of it)" in text
