"""Which members of a plan are trained together, and which alone, and why."""

import copy
import os
from itertools import pairwise
from pathlib import Path

import pytest

from nnlab.cli import main
from nnlab.command import composed
from nnlab.native import library
from nnlab.native.library import compiler
from nnlab.sweep.crew import Processes
from nnlab.sweep.jobs import Job, plan_jobs
from nnlab.sweep.plan import PlannedMember
from nnlab.sweep.run_plan import lines_of
from nnlab.sweep.widths import CUDA_BYTES, MOST_ON_CPU, Step, num_stacks
from nnlab.trainer.compiler import why_no_compiler

SMALL = ["data=moons", "data.num_train=60", "data.num_valid=20", "data.num_test=20", "model.width=4", "device=cpu"]
SMALL += ["trainer.max_epochs=2", "trainer.threads=1", "figures=[]", "logger=[]"]

OWN = '''
from torch import nn

class Plain(nn.Module):
    """Tensors in, tensors out: torch.func can map it."""
    def __init__(self, num_inputs, num_outputs, activation="tanh"):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(num_inputs, 5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, num_outputs))
    def forward(self, rows):
        return self.layers(rows)

class Wilful(Plain):
    """Looks at its numbers before it decides."""
    def forward(self, rows):
        found = self.layers(rows)
        return found if float(found.sum()) > 0 else -found
'''


@pytest.fixture(scope="module")
def planned():
    """Makes members from what is typed for each."""
    known = {}

    def make(*typed):
        made = []
        for number, line in enumerate(typed):
            words = [*SMALL, *line.split()]
            if line not in known:
                known[line] = composed([], words)
            config, options = copy.deepcopy(known[line])
            made.append(PlannedMember(number, Path(f"sweep/{number}"), "made", tuple(words), config, options))
        return made

    return make


def places(jobs):
    """The places of each stack, and those of each lone member."""
    return [list(job.places) for job in jobs.jobs if job.is_stack], [
        p for j in jobs.jobs if not j.is_stack for p in j.places
    ]


LBFGS = "LBFGS has no stacked form"
BF16 = "trainer.precision is bf16 or fp16"
LONELY = "no other one fits together with it"
#: what is typed for each -> the stacks, those alone, and the lines
CASES = {
    "seeds": (["seed=0", "seed=1", "seed=2"], [[0, 1, 2]], [], ["3 members in 1 stack of 3"]),
    "everything free": (
        [
            "optim.lr=0.1 optim=sgd schedule=cosine name=one",
            "optim=rmsprop schedule.warmup_steps=3 trainer.max_epochs=9 trainer.grad_clip_norm=1.0",
            "init=xavier_uniform callback=early_stopping trainer.eval_every=2 seed=4 trainer.max_steps=3",
        ],
        [[0, 1, 2]],
        [],
        ["3 members in 1 stack of 3"],
    ),
    "data of their own": (["data.seed=1", "data.seed=2"], [[0, 1]], [], ["2 members in 1 stack of 2"]),
    "dropout": (
        ["model.dropout=0.1", "model.dropout=0.5", "model.dropout=0.0", "model.dropout=0"],
        [[0, 1], [2, 3]],
        [],
        ["2 members in 1 stack of 2"] * 2,
    ),
    "batch sizes": (
        ["data.batch_size=10 seed=0", "data.batch_size=10 seed=1", "data.batch_size=20"],
        [[0, 1]],
        [2],
        ["2 members in 1 stack of 2 (data.batch_size=10)", f"1 member alone (data.batch_size=20): {LONELY}"],
    ),
    "widths": (["model.width=3", "model.width=5"], [], [0, 1], [f"2 members alone: {LONELY}"]),
    "activations": (["model.activation=relu", "model.activation=tanh"], [], [0, 1], [f"2 members alone: {LONELY}"]),
    "losses": (["loss=bce", "loss=hinge"], [], [0, 1], [f"2 members alone: {LONELY}"]),
    "an optimizer without a stacked form": (
        ["optim=adam", "optim=lbfgs seed=0", "optim=sgd", "optim=lbfgs seed=1"],
        [[0, 2]],
        [1, 3],
        ["2 members in 1 stack of 2", f"2 members alone (optim=lbfgs): {LBFGS}"],
    ),
    "precision": (
        ["trainer.precision=bf16 seed=0", "trainer.precision=bf16 seed=1", "trainer.precision=fp64 seed=0",
         "trainer.precision=fp64 seed=1"],
        [[2, 3]],
        [0, 1],
        ["2 members in 1 stack of 2 (trainer.precision=fp64)", f"2 members alone (trainer.precision=bf16): {BF16}"],
    ),
    "gradients": (
        ["gradient=finite_difference seed=0", "gradient=finite_difference seed=1"],
        [],
        [0, 1],
        ["2 members alone: gradient=FiniteDifference is computed run by run"],
    ),
    "wide layers": (
        ["model.widths=[400,400] data.batch_size=60 seed=0", "model.widths=[400,400] data.batch_size=60 seed=1"],
        [],
        [0, 1],
        ["2 members alone: a step of 0.7 ms gains nothing from a stack"],
    ),
    "a config that cannot be built": (
        ["seed=0", "seed=1", "data.batch_size=-1"],
        [[0, 1]],
        [2],
        [
            "2 members in 1 stack of 2",
            "1 member alone (data.batch_size=-1): it cannot be built (data.batch_size: expected at least 1, found -1)",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_members_go_where_they_fit_and_the_lines_say_why(case, planned):
    typed, stacks, alone, lines = CASES[case]
    jobs = plan_jobs(planned(*typed), (), {}, num_workers=1)
    assert places(jobs) == (stacks, alone)
    assert jobs.lines == lines
    assert jobs.num_workers == 1


@pytest.mark.parametrize(
    ("name", "stacks", "line"),
    [
        ("Plain", [[0, 1]], "2 members in 1 stack of 2"),
        ("Wilful", [], "2 members alone: Wilful: "),
    ],
)
def test_own_module_is_stacked_where_torch_func_can_map_it(name, stacks, line, planned, tmp_path, monkeypatch):
    (tmp_path / "own_modules_of_jobs.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    made = planned("seed=0", "seed=1")
    for member in made:
        member.config["model"] = {"_target_": f"own_modules_of_jobs.{name}"}
    jobs = plan_jobs(made, ["own_modules_of_jobs"], {}, num_workers=1)
    assert places(jobs)[0] == stacks
    assert jobs.lines[0].startswith(line)
    assert len(jobs.lines[0]) > len(line) or stacks


def test_packages_of_a_plan_are_not_granted_by_it(planned, tmp_path, monkeypatch):
    (tmp_path / "own_modules_not_granted.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    made = planned("seed=0", "seed=1")
    for member in made:
        member.config.update(model={"_target_": "own_modules_not_granted.Plain"}, plugins=["own_modules_not_granted"])
    jobs = plan_jobs(made, (), {}, num_workers=1)
    assert places(jobs) == ([], [0, 1])
    assert "it cannot be built" in jobs.lines[0]


#: what members were begun with, by their places -> stacks, those alone
BEGUN = [
    ({0: 1, 1: 1}, [[2, 3]], [0, 1]),
    ({0: 4, 1: 4}, [[0, 1, 2, 3]], []),
    ({0: 1, 1: 1, 2: 1}, [], [3, 0, 1, 2]),
    ({0: 1, 1: 1, 2: 1, 3: 8}, [[3]], [0, 1, 2]),
]


@pytest.mark.parametrize(("begun", "stacks", "alone"), BEGUN)
def test_members_stay_with_what_they_were_begun_as(begun, stacks, alone, planned):
    jobs = plan_jobs(planned(*(f"seed={seed}" for seed in range(4))), (), begun, num_workers=1)
    assert (places(jobs)[0], sorted(places(jobs)[1])) == (stacks, sorted(alone))


def test_member_that_is_left_over_from_a_stack_is_a_stack_of_one(planned):
    made = planned("seed=0", "seed=1", "data.batch_size=10")
    assert plan_jobs(made[:1], (), {}, num_workers=1, done=made[1:2]).jobs == [Job((0,), True)]
    assert plan_jobs(made[:1], (), {}, num_workers=1, done=made[2:]).jobs == [Job((0,), False)]


#: members, their lengths, cores -> the sizes of their stacks, workers
SHARED = [
    (8, 2, 2, [8], 1),  # too little work for a second process
    (8, 10**6, 2, [4, 4], 2),
    (9, 10**6, 2, [4, 5], 2),
    (7, 10**6, 2, [7], 1),  # too few members to be shared
    (12, 10**6, 4, [4, 4, 4], 3),
]


@pytest.mark.parametrize(("num_members", "num_epochs", "num_cores", "sizes", "num_workers"), SHARED)
def test_workers_get_equal_shares_of_what_is_worth_it(
    num_members, num_epochs, num_cores, sizes, num_workers, planned, monkeypatch
):
    monkeypatch.setattr("nnlab.sweep.jobs.own_cores", lambda: num_cores)
    made = planned(*(f"seed={seed}" for seed in range(num_members)))
    for member in made:
        member.config["trainer"]["max_epochs"] = num_epochs
    jobs = plan_jobs(made, (), {})
    assert sorted(len(job.places) for job in jobs.jobs) == sizes
    assert sorted(place for job in jobs.jobs for place in job.places) == list(range(num_members))
    assert jobs.num_workers == num_workers
    assert (f"on {num_workers} worker processes" in lines_of(jobs, Processes())) == (num_workers > 1)


def step(num_rows, *sizes, bytes_each=4, is_on_cpu=True):
    shapes = list(pairwise(sizes))
    return Step(num_rows, shapes, sum((inputs + 1) * outputs for inputs, outputs in shapes), bytes_each, is_on_cpu)


#: rows, sizes -> whether a stack gains: 8.5 to 51 times, 4.5 times, 2 to 3 times and 0.8 times were measured
GAINS = [
    (step(32, 2, 16, 16, 3), True),
    (step(100, 1, 100, 1), True),
    (step(100, 2, 100, 100, 3), True),
    (step(1000, 2, 100, 100, 3), False),
    (step(1000, 64, 512, 10), False),
]


@pytest.mark.parametrize(("one", "gains"), GAINS)
def test_widths_of_stacks_follow_what_was_measured(one, gains):
    assert (one.width > 1) == gains
    if gains:
        assert 32 <= one.width <= MOST_ON_CPU
        # All that a step touches stays in a cache of 16 MiB.
        assert one.width * one.num_bytes <= 16 * 2**20


#: a step, members of a stack, steps in an epoch -> whether compiled steps one by one are done sooner
COMPILED = [
    (step(32, 2, 16, 16, 3), 2, 11, True),
    (step(32, 2, 16, 16, 3), 4, 11, False),
    (step(32, 2, 16, 16, 3), 4, 1000, True),
    (step(32, 2, 16, 16, 3), 64, 1000, False),
    (step(100, 2, 100, 100, 3), 8, 100, True),
    (step(100, 2, 100, 100, 3), 64, 100, False),
]


@pytest.mark.parametrize(("one", "num_members", "steps_per_epoch", "gains"), COMPILED)
def test_few_members_of_long_epochs_are_done_sooner_by_compiled_steps(one, num_members, steps_per_epoch, gains):
    assert one.gains_compiled(num_members, steps_per_epoch) == gains


SOONER = "2 members alone: one by one, by compiled steps, they are done sooner than in a stack"
STEP_WISHED = "2 members alone: trainer.compile=step: stacks are computed by torch's own operations"
#: what is typed for both, what they were begun as -> whether they make a stack, and the line
LONG = "data.batch_size=2 trainer.max_epochs=10000"
TOGETHER = [
    (LONG, {}, False, SOONER),
    (f"{LONG} trainer.compile=off", {}, True, "2 members in 1 stack of 2"),
    ("trainer.compile=step", {}, False, STEP_WISHED),
    (LONG, {1: 2}, True, "2 members in 1 stack of 2"),
]


@pytest.mark.skipif(compiler() is None, reason="no C compiler (cc, gcc or clang)")
@pytest.mark.parametrize(("typed", "begun", "is_stack", "line"), TOGETHER)
def test_stack_is_left_alone_where_compiled_steps_are_sooner(typed, begun, is_stack, line, planned):
    jobs = plan_jobs(planned(f"{typed} seed=0", f"{typed} seed=1"), (), begun, num_workers=1)
    assert [job.is_stack for job in jobs.jobs] == ([True] if is_stack else [False, False])
    assert jobs.lines[0] == line


@pytest.mark.skipif(bool(why_no_compiler()), reason=why_no_compiler() or "there is a compiler")
def test_members_whose_steps_are_programs_of_torch_compiles_are_left_alone(monkeypatch, planned):
    monkeypatch.setenv("CC", "no-such-compiler")
    library.load.cache_clear()
    typed = "trainer.compile=step data.batch_size=1000000"
    jobs = plan_jobs(planned(f"{typed} seed=0", f"{typed} seed=1"), (), {}, num_workers=1)
    assert [job.is_stack for job in jobs.jobs] == [False, False]
    assert jobs.lines[0] == STEP_WISHED


def test_width_of_the_smallest_is_that_beyond_which_nothing_is_gained():
    assert step(32, 2, 16, 16, 3).width == 256
    # 4 (48 + 272 + 51) of parameters, 3 * 32 * 35 of activations, four bytes each
    assert step(32, 2, 16, 16, 3).num_bytes == 4 * (4 * 371 + 3 * 32 * 35)


def test_width_on_a_gpu_follows_from_its_memory_alone():
    one = step(1000, 2, 100, 100, 3, is_on_cpu=False)
    assert one.width == CUDA_BYTES // one.num_bytes
    assert step(32, 2, 16, 16, 3, is_on_cpu=False).width == 4096


#: members, width, workers -> stacks
STACKS = [(1, 256, 1, 1), (256, 256, 1, 1), (257, 256, 1, 2), (64, 256, 2, 2), (7, 256, 2, 1), (600, 256, 2, 4)]
STACKS += [(3, 2, 1, 2), (16, 256, 16, 4)]


@pytest.mark.parametrize(("num_members", "width", "num_workers", "expected"), STACKS)
def test_stacks_are_as_many_as_they_need_and_equal_for_all_workers(num_members, width, num_workers, expected):
    assert num_stacks(num_members, width, num_workers) == expected


def test_plan_is_printed_with_what_goes_where_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lists = ["optim=adam,lbfgs", "model.width=4,5", "seed=range(8)"]
    words = [*SMALL, *lists, "trainer.max_epochs=100000", "hydra.sweep.dir=sweep"]
    assert main(["train", "-m", "--plan", *words, "hydra.launcher.num_workers=2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "32 members"
    places = [f"(model.width={width}, optim=adam)" for width in (4, 5)]
    alone = f"16 members alone (optim=lbfgs): {LBFGS}"
    assert lines[-4:-1] == [*(f"8 members in 2 stacks of 4 {place}" for place in places), alone]
    assert lines[-1] == "on 2 worker processes"
    assert main(["train", "-m", "--plan", *words, "hydra.launcher.num_workers=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [*(f"8 members in 1 stack of 8 {place}" for place in places), alone]
    assert os.listdir(tmp_path) == []
