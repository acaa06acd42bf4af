"""The frozen plan: written and read back whole, compared, and read as if a stranger had written it."""

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from nnlab.folder import JSON_LIMIT, SCHEMA_VERSION, FolderError
from nnlab.sweep.plan import PLAN_FILE, Plan, PlannedMember, differences, plan_lines, read_plan

GROUPS = ("data", "model", "init", "loss", "metric", "optim", "schedule", "gradient", "trainer", "callback", "logger")


def config(seed=0, **optim):
    groups = {group: {"_target_": f"nnlab.{group}.x"} for group in GROUPS}
    groups["optim"] |= {"lr": 0.1, "betas": [0.9, 0.999]} | optim
    return {"seed": seed, "device": "auto", "name": None, "plugins": [], **groups}


def plan_in(folder, *configs, optim="adam"):
    members = (
        PlannedMember(number, folder / f"{number}_é", "moons", (f"seed={number}",), one, {"optim": optim, "data": "x"})
        for number, one in enumerate(configs)
    )
    return Plan(folder, "nnlab train -m 'seed=0,1'", tuple(members))


@pytest.fixture
def plan(tmp_path):
    return plan_in(tmp_path, config(0), config(1, lr=1e-5, eps=math.inf, momentum=None))


def test_plan_that_is_written_is_read_back_equal_and_moves_with_its_folder(plan, tmp_path):
    plan.write()
    assert read_plan(tmp_path) == plan
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / PLAN_FILE).rename(moved / PLAN_FILE)
    assert [member.folder for member in read_plan(moved).members] == [moved / "0_é", moved / "1_é"]
    assert len((moved / PLAN_FILE).read_text().splitlines()) == 2 + len(plan.members)
    assert not list(tmp_path.glob("**/*.tmp"))


def test_numbers_that_json_has_no_word_for_are_read_back(tmp_path):
    plan = plan_in(tmp_path, config(lr=math.nan, eps=-math.inf))
    plan.write()
    found = read_plan(tmp_path).members[0].config["optim"]
    assert math.isnan(found["lr"])
    assert found["eps"] == -math.inf
    assert differences(read_plan(tmp_path), plan) == []


def changed(plan, number, **optim):
    members = list(plan.members)
    content = copy.deepcopy(dict(members[number].config))
    content["optim"] |= optim
    members[number] = replace(members[number], config=content)
    return replace(plan, members=tuple(members))


def test_equal_plans_have_no_differences_whatever_the_command_is(plan):
    other = replace(plan, command="another", members=tuple(replace(one, overrides=()) for one in plan.members))
    assert differences(plan, copy.deepcopy(other)) == []


#: what is changed -> what is said of it
DIFFERENCES = [
    (lambda plan: changed(plan, 0, lr=0.2), ["optim.lr: 0.1 in the plan, 0.2 now (member 0)"]),
    (lambda plan: changed(plan, 0, betas=[0.5]), ["optim.betas: [0.9, 0.999] in the plan, [0.5] now (member 0)"]),
    (lambda plan: changed(plan, 1, momentum=1), ["optim.momentum: null in the plan, 1 now (member 1)"]),
    (lambda plan: changed(plan, 1, new=True), ["optim.new: nothing in the plan, true now (member 1)"]),
    (lambda plan: replace(plan, members=plan.members[:1]), ["2 members in the plan, 1 member now"]),
    (
        lambda plan: changed(changed(plan, 0, weight_decay=3), 1, weight_decay=3),
        ["optim.weight_decay: nothing in the plan, 3 now (members 0 and 1)"],
    ),
    (
        lambda plan: replace(plan, members=tuple(replace(one, name="other") for one in plan.members)),
        ["name: 'moons' in the plan, 'other' now (members 0 and 1)"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), DIFFERENCES)
def test_difference_of_two_plans_is_said_once_for_all_members(change, said, plan):
    assert differences(plan, change(plan)) == said


def test_another_option_is_one_difference_and_not_all_that_follows_from_it(tmp_path):
    old, new = plan_in(tmp_path, config()), plan_in(tmp_path, config(lr=3), optim="sgd")
    assert differences(old, new) == ["optim: 'adam' in the plan, 'sgd' now (member 0)"]


def test_one_and_true_are_different_values(tmp_path):
    assert len(differences(plan_in(tmp_path, config(a=1)), plan_in(tmp_path, config(a=True)))) == 1


def test_plan_is_shown_with_a_line_for_each_choice_of_groups(tmp_path):
    both = (
        plan_in(tmp_path, config(), config()).members[:1]
        + plan_in(tmp_path, config(), config(), optim="sgd").members[1:]
    )
    lines = plan_lines(Plan(tmp_path, "", both))
    assert lines[0].startswith("2 members")
    assert [line.split() for line in lines[1:]] == [
        ["1", "member", "optim=adam", "0_é"],
        ["1", "member", "optim=sgd", "1_é"],
    ]


#: what a damaged or hostile plan says -> what it is refused with
HOSTILE = {
    "members": ([], "members: expected a list of members"),
    "members.0": (3, "members.0: expected an object"),
    "members.0.folder": ("../elsewhere", "members.0.folder: expected the name of a folder in that of the sweep"),
    "members.1.folder": ("0_é", "expected a folder for each"),
    "members.1.number": (7, "members.1.number: expected 1, found 7"),
    "members.0.config": ({}, "members.0.config.data: expected keys and values"),
    "members.0.config.seed": (True, "expected device and seed"),
    "members.0.config.device": (None, "expected device and seed"),
    "members.0.config.optim.lr": ("${oc.env:HOME}", "members.0.config.optim.lr: expected a plain value"),
    "members.0.config.optim.betas": ([2**70], "members.0.config.optim.betas.0: expected a number below 2^63"),
    "members.0.config.optim": ({"\x1b[2J": 1}, "expected names of keys"),
    "members.0.name": ("\x1b[2J", "members.0.name: expected a name that can be printed"),
    "members.0.overrides": ([1], "members.0.overrides: expected texts"),
    "members.0.options": ({"optim": {"a": 1}}, "members.0.options.optim: expected the name of an option"),
    "schema_version": (SCHEMA_VERSION + 1, f"expected up to {SCHEMA_VERSION}"),
    "command": (None, "is missing; it is damaged"),
}
FOLDERS = ["", ".", "..", "/etc", "a/b", "a\\b", ".hidden", "-rf", "a\nb", "~" * 300, "C:x", "x\x00"]


def damaged(folder, key, value):
    content = json.loads((folder / PLAN_FILE).read_text())
    node, parts = content, key.split(".")
    for part in parts[:-1]:
        node = node[int(part) if part.isdecimal() else part]
    node[int(parts[-1]) if parts[-1].isdecimal() else parts[-1]] = value
    (folder / PLAN_FILE).write_text(json.dumps(content))


@pytest.mark.parametrize("key", HOSTILE)
def test_plan_that_no_sweep_writes_is_refused_with_what_is_wrong(key, plan, tmp_path):
    plan.write()
    damaged(tmp_path, key, HOSTILE[key][0])
    with pytest.raises(FolderError) as refusal:
        read_plan(tmp_path)
    assert HOSTILE[key][1] in str(refusal.value)
    assert str(tmp_path / PLAN_FILE) in str(refusal.value)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("name", FOLDERS)
def test_member_folder_that_leads_elsewhere_is_refused(name, plan, tmp_path):
    plan.write()
    damaged(tmp_path, "members.0.folder", name)
    with pytest.raises(FolderError, match=r"members\.0\.folder"):
        read_plan(tmp_path)


def test_config_that_is_nested_without_end_is_refused(plan, tmp_path):
    plan.write()
    value: object = 1
    for _ in range(100):
        value = [value]
    damaged(tmp_path, "members.0.config.optim", {"lr": value})
    with pytest.raises(FolderError, match="at most 20 levels"):
        read_plan(tmp_path)


def test_member_folder_that_is_a_link_is_refused(plan, tmp_path):
    plan.write()
    (tmp_path / "0_é").symlink_to(Path("/tmp"))
    with pytest.raises(FolderError, match="links are not followed"):
        read_plan(tmp_path)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_file_that_is_no_plan_is_refused(payload, tmp_path):
    (tmp_path / PLAN_FILE).write_bytes(payload)
    with pytest.raises(FolderError, match=PLAN_FILE):
        read_plan(tmp_path)


def test_missing_plan_is_said_to_be_missing(tmp_path):
    with pytest.raises(FolderError, match=r"plan\.json is missing"):
        read_plan(tmp_path)


def test_more_members_than_can_be_read_again_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    plan = plan_in(tmp_path, config())
    long = replace(plan.members[0], overrides=("x" * JSON_LIMIT,))
    with pytest.raises(ValueError, match="more than a plan can hold"):
        replace(plan, members=(long,)).write()
    assert not list(tmp_path.iterdir())
