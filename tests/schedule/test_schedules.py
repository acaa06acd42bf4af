"""Every schedule against torch.optim.lr_scheduler, in both units, and what it refuses."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.optim import SGD, Optimizer, lr_scheduler

from nnlab import schedule as nnschedule
from nnlab.schedule import Schedule, Unit

CONFIGS = Path(__file__).parents[2] / "configs" / "schedule"
BASE_LR = 0.3
NUM_STEPS, NUM_EPOCHS = 60, 12

ONE_CYCLE: dict[str, Any] = {"pct_start": 0.3, "anneal_strategy": "cos", "div_factor": 25.0, "final_div_factor": 1e4}


def one_cycle(**keys: Any) -> Callable[[Unit], Schedule]:
    keys = {**ONE_CYCLE, "three_phase": False, **keys}
    return lambda unit: nnschedule.OneCycle(**keys, unit=unit, warmup_steps=0)


def torch_one_cycle(
    total: int, max_lr: float = BASE_LR, **keys: Any
) -> Callable[[Optimizer], lr_scheduler.LRScheduler]:
    return lambda o: lr_scheduler.OneCycleLR(o, max_lr, total, cycle_momentum=False, **{**ONE_CYCLE, **keys})


#: ours, torch's with T times left to fill in, and how long torch's is defined
Pair = tuple[Callable[[Unit], Schedule], Callable[[Optimizer], Any], int]
PAIRS: dict[str, Pair] = {
    "constant": (
        lambda unit: nnschedule.Constant(unit, 0),
        lambda o: lr_scheduler.LambdaLR(o, lambda t: 1.0),
        40,
    ),
    "step": (lambda unit: nnschedule.Step(7, 0.3, unit, 0), lambda o: lr_scheduler.StepLR(o, 7, 0.3), 40),
    "step of 1": (lambda unit: nnschedule.Step(1, 1.1, unit, 0), lambda o: lr_scheduler.StepLR(o, 1, 1.1), 40),
    "exponential": (
        lambda unit: nnschedule.Exponential(0.93, unit, 0),
        lambda o: lr_scheduler.ExponentialLR(o, 0.93),
        200,
    ),
    "cosine": (
        lambda unit: nnschedule.Cosine(total_steps=30, eta_min=0.01, unit=unit, warmup_steps=0),
        lambda o: lr_scheduler.CosineAnnealingLR(o, 30, 0.01),
        31,
    ),
    "cosine to 0": (
        lambda unit: nnschedule.Cosine(total_steps=9, eta_min=0.0, unit=unit, warmup_steps=0),
        lambda o: lr_scheduler.CosineAnnealingLR(o, 9),
        10,
    ),
    "cosine upwards": (
        lambda unit: nnschedule.Cosine(total_steps=9, eta_min=0.5, unit=unit, warmup_steps=0),
        lambda o: lr_scheduler.CosineAnnealingLR(o, 9, 0.5),
        10,
    ),
    "one cycle": (one_cycle(total_steps=37), torch_one_cycle(37), 37),
    "one cycle linear": (
        one_cycle(total_steps=37, anneal_strategy="linear"),
        torch_one_cycle(37, anneal_strategy="linear"),
        37,
    ),
    "one cycle in three": (one_cycle(total_steps=37, three_phase=True), torch_one_cycle(37, three_phase=True), 37),
    "one cycle of its own": (
        one_cycle(total_steps=20, max_lr=2.0, pct_start=0.45, div_factor=5.0, final_div_factor=7.0),
        torch_one_cycle(20, max_lr=2.0, pct_start=0.45, div_factor=5.0, final_div_factor=7.0),
        20,
    ),
    "one cycle only down": (one_cycle(total_steps=20, pct_start=0.0), torch_one_cycle(20, pct_start=0.0), 20),
    "one cycle only up": (one_cycle(total_steps=20, pct_start=1.0), torch_one_cycle(20, pct_start=1.0), 20),
}


def optimizer() -> Optimizer:
    return SGD([torch.zeros(1, requires_grad=True)], lr=BASE_LR)


def torchs_rates(make: Callable[[Optimizer], Any], num_times: int) -> list[float]:
    descent = optimizer()
    scheduler = make(descent)
    rates = []
    for _ in range(num_times):
        rates.append(descent.param_groups[0]["lr"])
        descent.step()
        if len(rates) < num_times:
            scheduler.step()
    return rates


@pytest.mark.parametrize("unit", ["epoch", "step"])
@pytest.mark.parametrize("name", PAIRS)
def test_sequence_in_either_unit_equals_torch(name: str, unit: Unit) -> None:
    make, make_torch, num_times = PAIRS[name]
    schedule = make(unit)
    expected = torchs_rates(make_torch, num_times)
    # The other clock runs along and must be of no effect.
    other = [1000 + 3 * t for t in range(num_times)]
    clocks = [(t, o) if unit == "step" else (o, t) for t, o in enumerate(other)]
    rates = [schedule.learning_rate(BASE_LR, step, epoch) for step, epoch in clocks]
    # torch goes on from the last rate, so where a rate is 0 it may be off by the rounding of the one before.
    assert rates == pytest.approx(expected, rel=1e-12, abs=1e-16)


@pytest.mark.parametrize("unit", ["epoch", "step"])
@pytest.mark.parametrize(
    ("make", "make_torch"),
    [
        (
            lambda unit: nnschedule.Cosine(total_steps=None, eta_min=0.01, unit=unit, warmup_steps=0),
            lambda total: lambda o: lr_scheduler.CosineAnnealingLR(o, total, 0.01),
        ),
        (one_cycle(total_steps=None), torch_one_cycle),
    ],
    ids=["cosine", "one cycle"],
)
def test_length_left_open_is_the_whole_run(make: Any, make_torch: Any, unit: Unit) -> None:
    schedule = make(unit)
    schedule.plan(NUM_STEPS, NUM_EPOCHS)
    total = NUM_STEPS if unit == "step" else NUM_EPOCHS
    rates = [schedule.rate(BASE_LR, t) for t in range(total)]
    assert rates == pytest.approx(torchs_rates(make_torch(total), total), rel=1e-12)


@pytest.mark.parametrize("make", [one_cycle(total_steps=8), PAIRS["cosine to 0"][0]], ids=["one cycle", "cosine"])
def test_length_that_is_set_is_not_changed_by_the_run(make: Callable[[Unit], Schedule]) -> None:
    planned, unplanned = make("step"), make("step")
    planned.plan(NUM_STEPS, NUM_EPOCHS)
    assert [planned.rate(1.0, t) for t in range(12)] == [unplanned.rate(1.0, t) for t in range(12)]


@pytest.mark.parametrize(
    ("schedule", "last"),
    [
        (nnschedule.Cosine(total_steps=5, eta_min=0.02, unit="step", warmup_steps=0), 0.02),
        (one_cycle(total_steps=5)("step"), BASE_LR / 25.0 / 1e4),
        (one_cycle(total_steps=5, three_phase=True)("step"), BASE_LR / 25.0 / 1e4),
        (one_cycle(total_steps=1)("step"), BASE_LR / 25.0 / 1e4),
        (one_cycle(total_steps=1, pct_start=1.0)("step"), BASE_LR),
    ],
)
def test_rate_beyond_the_length_stays_at_its_last_value(schedule: Schedule, last: float) -> None:
    assert [schedule.rate(BASE_LR, t) for t in (5, 6, 500)] == pytest.approx([last] * 3, rel=1e-12)


@pytest.mark.parametrize("schedule", [nnschedule.Step(2, 0.5, "epoch", 4), nnschedule.Step(10, 0.5, "step", 4)])
def test_warm_up_multiplies_the_first_steps(schedule: Schedule) -> None:
    # 5 steps an epoch: the first decay is at epoch 2 or step 10 alike.
    rates = [schedule.learning_rate(0.8, step, epoch=step // 5) for step in range(12)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, *[0.8] * 7, 0.4, 0.4], rel=1e-12)


PLATEAU: dict[str, Any] = {
    "factor": 0.5,
    "patience": 2,
    "threshold": 1e-2,
    "threshold_mode": "rel",
    "cooldown": 0,
    "min_lr": 0.0,
}
VALUES = [5.0, 4.0, 3.99, 4.2, 4.1, 3.0, float("nan"), 3.0, 2.99, 2.98, 2.97, 2.9, 1.0, 1.0, float("inf")] + [1.0] * 30


def plateau(**keys: Any) -> nnschedule.Plateau:
    return nnschedule.Plateau(**{**PLATEAU, **keys}, unit="epoch", warmup_steps=0)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"threshold_mode": "abs"},
        {"cooldown": 3},
        {"patience": 0},
        {"patience": 0, "cooldown": 1, "threshold": 0.0},
        {"min_lr": 0.04},
        {"min_lr": 1.0},
        {"factor": 0.01, "patience": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["min", "max"])
def test_plateau_on_any_values_equals_torch(mode: Any, keys: dict[str, Any]) -> None:
    schedule, descent = plateau(**keys), optimizer()
    reference = lr_scheduler.ReduceLROnPlateau(descent, mode=mode, **{**PLATEAU, **keys})
    reduced = False
    for epoch, value in enumerate(VALUES):
        assert schedule.learning_rate(BASE_LR, 10 * epoch, epoch) == descent.param_groups[0]["lr"]
        schedule.observe(value, greater_is_better=mode == "max")
        reference.step(value)
        reduced = reduced or descent.param_groups[0]["lr"] < BASE_LR
    assert reduced == (keys != {"min_lr": 1.0})


@pytest.mark.parametrize("value", [0.9, 0.0, -0.5])
def test_plateau_on_a_metric_that_stays_where_it_is_reduces_the_rate(value: float) -> None:
    for greater_is_better in (True, False):
        schedule = plateau(patience=1, factor=0.1)
        for _ in range(6):
            schedule.observe(value, greater_is_better)
        assert schedule.rate(1.0, 0) == pytest.approx(0.01)


@pytest.mark.parametrize("cut", range(30))
def test_plateau_resumed_goes_on_as_uninterrupted(cut: int) -> None:
    whole, first, second = plateau(cooldown=2), plateau(cooldown=2), plateau(cooldown=2)
    for value in VALUES[:cut]:
        whole.observe(value)
        first.observe(value)
    state = first.state_dict()
    assert all(value is None or type(value) in (int, float) for value in state.values())
    second.load_state_dict(state)
    for value in VALUES[cut:]:
        whole.observe(value)
        second.observe(value)
        assert second.rate(BASE_LR, 0) == whole.rate(BASE_LR, 0)
        assert second.state_dict() == whole.state_dict()


def test_schedules_of_time_alone_have_no_state() -> None:
    for make, _, _ in PAIRS.values():
        schedule = make("epoch")
        assert schedule.state_dict() == {}
        schedule.load_state_dict({})


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: nnschedule.Constant("day", 0), "schedule.unit"),  # type: ignore[arg-type]
        (lambda: nnschedule.Constant("step", -1), "schedule.warmup_steps"),
        (lambda: nnschedule.Step(0, 0.1, "epoch", 0), "schedule.step_size"),
        (lambda: nnschedule.Step(1, -0.1, "epoch", 0), "schedule.gamma"),
        (lambda: nnschedule.Exponential(0.0, "epoch", 0), "schedule.gamma"),
        (lambda: nnschedule.Cosine(total_steps=0, eta_min=0, unit="step", warmup_steps=0), "schedule.total_steps"),
        (lambda: nnschedule.Cosine(eta_min=-1, unit="step", warmup_steps=0), "schedule.eta_min"),
        (lambda: one_cycle(total_steps=0)("step"), "schedule.total_steps"),
        (lambda: one_cycle(max_lr=0.0)("step"), "schedule.max_lr"),
        (lambda: one_cycle(pct_start=1.5)("step"), "schedule.pct_start"),
        (lambda: one_cycle(anneal_strategy="sine")("step"), "schedule.anneal_strategy"),
        (lambda: one_cycle(div_factor=0.0)("step"), "schedule.div_factor"),
        (lambda: one_cycle(final_div_factor=float("nan"))("step"), "schedule.final_div_factor"),
        (lambda: nnschedule.Plateau(**PLATEAU, unit="step", warmup_steps=0), "schedule.unit"),
        (lambda: plateau(factor=1.0), "schedule.factor"),
        (lambda: plateau(patience=-1), "schedule.patience"),
        (lambda: plateau(threshold=-1e-4), "schedule.threshold"),
        (lambda: plateau(threshold_mode="relative"), "schedule.threshold_mode"),
        (lambda: plateau(cooldown=-1), "schedule.cooldown"),
        (lambda: plateau(min_lr=-1e-3), "schedule.min_lr"),
    ],
)
def test_argument_out_of_range_names_its_key(make: Callable[[], object], key: str) -> None:
    with pytest.raises(ValueError, match=f"^{key}: expected .*found "):
        make()


TORCH = {
    "step": lr_scheduler.StepLR,
    "exponential": lr_scheduler.ExponentialLR,
    "cosine": lr_scheduler.CosineAnnealingLR,
    "one_cycle": lr_scheduler.OneCycleLR,
    "plateau": lr_scheduler.ReduceLROnPlateau,
}
#: what torch has no default for, or leaves open in another way
OURS = {
    "step": {"step_size": 10},
    "exponential": {"gamma": 0.95},
    "one_cycle": {"max_lr": None},
    "cosine": {"total_steps": None},
}
FILES = sorted(CONFIGS.glob("*.yaml"))


def test_option_files_are_all_found() -> None:
    assert len(FILES) == 6


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_option_file_binds_to_its_class_with_torchs_defaults(path: Path) -> None:
    keys = yaml.safe_load(path.read_text())
    module, name = keys.pop("_target_").rsplit(".", 1)
    assert module == "nnlab.schedule"
    target = getattr(nnschedule, name)
    assert list(keys) == list(inspect.signature(target).parameters)
    assert isinstance(target(**keys), Schedule)
    assert keys.pop("warmup_steps") == 0
    assert keys.pop("unit") == ("step" if path.stem in ("cosine", "one_cycle") else "epoch")
    defaults = {k: p.default for k, p in inspect.signature(TORCH[path.stem]).parameters.items()} if keys else {}
    assert keys == {key: OURS.get(path.stem, {}).get(key, defaults.get(key)) for key in keys}
