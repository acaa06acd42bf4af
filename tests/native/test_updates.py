"""Optimizers in C against torch.optim's for-loop form, over all classes and flags."""

import ctypes
import platform
import subprocess
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from nnlab.native import library
from nnlab.native.updates import NUM_STATES, NativeUpdate, OptimizerCode
from nnlab.optim.stacked import FORMS
from stacked_runs import CASES, Case, Runs, cut, grads_of, make_runs, rates_of

CONFIGS = Path(__file__).parents[2] / "configs" / "optim"
pytestmark = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")

STEPS = 20
#: the first run has no weight decay, the second leaves some parameters alone, the third decays all
NUM_RUNS = 3
RATES = rates_of(2 * STEPS, NUM_RUNS)
DTYPES = {torch.float32: (), torch.float64: ("-DNNLAB_DOUBLE",)}

SOURCE = """
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "numbers.h"
#include "update.h"
void step(const Optimizer *o, const double *c, int decays, real *w, const real *g, real *s0, real *s1, real *s2,
          int64_t n) {
    update(o, c, decays, w, g, s0, s1, s2, n);
}
"""


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> dict[torch.dtype, Any]:
    """The C function for each data type, compiled as the engine is, with every warning an error."""
    folder, functions = tmp_path_factory.mktemp("updates"), {}
    (folder / "step.c").write_text(SOURCE)
    machine = library.MACHINE_FLAGS.get(platform.machine(), ())
    for dtype, flags in DTYPES.items():
        name = folder / f"{dtype}.so"
        warnings = ("-Wall", "-Wextra", "-Werror", f"-I{library.SOURCES}")
        command = [str(library.compiler()), *library.FLAGS, *machine, *flags, *warnings]
        subprocess.run([*command, str(folder / "step.c"), "-o", str(name), "-lm"], check=True)
        function = ctypes.CDLL(str(name)).step
        addresses = [ctypes.c_void_p] * 5
        function.argtypes = [ctypes.POINTER(OptimizerCode), ctypes.c_void_p, ctypes.c_int, *addresses, ctypes.c_int64]
        function.restype = None
        functions[dtype] = function
    return functions


def run_of(case: Case, row: int, dtype: torch.dtype) -> Runs:
    """One run alone."""
    runs = make_runs(case, NUM_RUNS, dtype=dtype, decay="groups")
    return Runs([runs.parameters[row]], [runs.optimizers[row]], runs.weights[row : row + 1])


def update_of(run: Runs) -> NativeUpdate:
    return NativeUpdate(run.optimizers[0], run.parameters[0])


def step_of(
    function: Any, update: NativeUpdate, coefficients: np.ndarray, where: tuple[int, nn.Parameter, int], grad: Tensor
) -> None:
    """One step of the weights of a parameter, given with its number, from some place on."""
    number, parameter, first = where
    offset = first * grad.element_size()
    own = grad.clone()
    held = [None if at is None else at + offset for at in update.pointers(number)]
    weights = [update.decays(number), parameter.data_ptr() + offset, own.data_ptr()]
    function(update.code, coefficients.ctypes.data, *weights, *held, own.numel())
    assert torch.equal(own.nan_to_num(3.0), grad.nan_to_num(3.0)), "the gradient is not its to change"


def take_steps(function: Any, run: Runs, update: NativeUpdate, rates: np.ndarray, grads: Tensor) -> None:
    """As the engine: all steps planned, each parameter by itself, then counted."""
    planned = update.plan(rates.tolist())
    assert planned.flags.c_contiguous
    for coefficients, grad in zip(planned, grads, strict=True):
        for number, (parameter, own) in enumerate(zip(run.parameters[0], cut(grad), strict=True)):
            step_of(function, update, coefficients, (number, parameter, 0), own)
    update.advance(len(planned))


def step_alone(run: Runs, row: int, first: int, grads: Tensor) -> None:
    for step, grad in enumerate(grads, first):
        run.step_one(0, RATES[step, row], grad[None])


def assert_close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    finite = expected[expected.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def assert_same(found: Runs, expected: Runs, tolerance: float) -> None:
    """Weights, and the optimizers' states down to names, order, types and shapes."""
    assert_close(found.weights, expected.weights, tolerance)
    ours, theirs = (run.optimizers[0].state_dict()["state"] for run in (found, expected))
    assert list(ours) == list(theirs)
    for number, state in theirs.items():
        assert list(ours[number]) == list(state)
        for name, value in state.items():
            assert (ours[number][name].dtype, ours[number][name].shape) == (value.dtype, value.shape), name
    for name in theirs[0] if theirs else ():
        of_run, expected_of_run = (
            torch.cat([own[name].flatten() for own in states.values()]) for states in (ours, theirs)
        )
        assert_close(of_run, expected_of_run, tolerance)


def test_every_option_has_a_c_form_but_lbfgs() -> None:
    reasons = {}
    for path in sorted(CONFIGS.glob("*.yaml")):
        settings = yaml.safe_load(path.read_text())
        kind = settings.pop("_target_").rsplit(".", 1)[1]
        settings.pop("no_decay", None)
        reasons[path.stem] = NativeUpdate.can_do(getattr(torch.optim, kind)(nn.Linear(2, 3).parameters(), **settings))
    assert [name for name, reason in reasons.items() if reason is not None] == ["lbfgs"]
    assert len(reasons) == 11
    assert str(reasons["lbfgs"]).startswith("the optimizer has no C form: LBFGS is none of Adadelta, Adagrad, Adam,")
    assert {case.kind for case in CASES} == {kind.__name__ for kind in FORMS}


def test_can_do_says_what_is_in_the_way() -> None:
    hooked, mixed = (torch.optim.SGD(nn.Linear(2, 3).parameters()) for _ in range(2))
    hooked.register_step_post_hook(lambda *_: None)
    mixed.add_param_group({"params": [nn.Parameter(torch.ones(2))], "lr": 0.5})
    frozen = nn.Linear(2, 3)
    frozen.bias.requires_grad_(False)
    reasons = [NativeUpdate.can_do(o) for o in (hooked, mixed, torch.optim.SGD(frozen.parameters()))]
    for reason, words in zip(reasons, ("hooks", "groups that differ", "frozen"), strict=True):
        assert words in str(reason)


def test_code_differs_where_class_or_flags_do() -> None:
    codes = {}
    for case in CASES:
        code = update_of(run_of(case, 0, torch.float64)).code
        kind = case.kind.removesuffix("W") if case.kind == "AdamW" else case.kind
        flags = case.flags | ({"decoupled_weight_decay": True} if case.kind == "AdamW" else {})
        codes[kind, tuple(sorted(name for name, is_on in flags.items() if is_on))] = (code.kind, code.flags)
    assert len(set(codes.values())) == len(codes)
    assert {kind for kind, _ in codes.values()} == set(range(9))


@pytest.mark.parametrize("row", range(NUM_RUNS))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_twenty_steps_in_double_precision_equal_torch(case: Case, row: int, steps) -> None:
    native, alone = (run_of(case, row, torch.float64) for _ in range(2))
    grads = grads_of(STEPS, NUM_RUNS, torch.float64)[:, row]
    grads[4] = 0
    grads[5, ::2] = 0
    grads[6] = grads[3]
    update = update_of(native)
    for first, last in ((0, 1), (1, 12), (12, STEPS)):
        take_steps(steps[torch.float64], native, update, RATES[first:last, row], grads[first:last])
    step_alone(alone, row, 0, grads)
    assert_same(native, alone, 1e-12)


EDGES = [
    ("SGD", {"momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"momentum": 0.5, "dampening": 1.0, "weight_decay": 0.1}),
    ("Adam", {"betas": (0.0, 0.0)}),
    ("Adam", {"betas": (0.3, 0.5), "eps": 1.0, "amsgrad": True}),
    ("AdamW", {"betas": (0.0, 0.99), "weight_decay": 0.5}),
    ("NAdam", {"betas": (0.0, 0.5), "momentum_decay": 0.5}),
    ("RAdam", {"betas": (0.9, 0.5)}),  # never rectified
    ("RAdam", {"betas": (0.5, 0.9)}),  # from the seventh step on
    ("RMSprop", {"alpha": 0.0}),
    ("Adadelta", {"rho": 0.0}),
    ("Rprop", {"step_sizes": (0.004, 0.006)}),  # both limits are met in the first steps
    ("Rprop", {"etas": (0.01, 1.01), "step_sizes": (0.0, 1e9)}),
]


@pytest.mark.parametrize(("kind", "settings"), EDGES)
def test_settings_at_their_limits_equal_torch(kind: str, settings: dict[str, Any], steps) -> None:
    native, alone = (run_of(Case(kind), 0, torch.float64) for _ in range(2))
    for run in (native, alone):
        run.optimizers = [getattr(torch.optim, kind)(run.parameters[0], foreach=False, lr=0.005, **settings)]
    grads = grads_of(STEPS, NUM_RUNS, torch.float64)[:, 0]
    take_steps(steps[torch.float64], native, update_of(native), RATES[:STEPS, 0], grads)
    step_alone(alone, 0, 0, grads)
    assert_same(native, alone, 1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_state_that_is_no_number_goes_where_it_goes_in_torch(case: Case, steps) -> None:
    native, alone = (run_of(case, 0, torch.float64) for _ in range(2))
    grads = grads_of(4, NUM_RUNS, torch.float64)[:, 0]
    for run in (native, alone):
        step_alone(run, 0, 0, grads[:2])
        for state in run.optimizers[0].state.values():
            for name, value in state.items():
                if name not in ("step", "mu_product"):
                    value.view(-1)[0] = torch.nan
    take_steps(steps[torch.float64], native, update_of(native), RATES[2:4, 0], grads[2:])
    step_alone(alone, 0, 2, grads[2:])
    assert_same(native, alone, 1e-12)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradient_of_zero_in_the_first_step_equals_torch(case: Case, dtype: torch.dtype, steps) -> None:
    native, alone = (run_of(case, 0, dtype) for _ in range(2))
    grads = grads_of(3, NUM_RUNS, dtype)[:, 0]
    grads[0] = 0
    take_steps(steps[dtype], native, update_of(native), RATES[:3, 0], grads)
    step_alone(alone, 0, 0, grads)
    assert_same(native, alone, 1e-12 if dtype is torch.float64 else 1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_step_in_single_precision_equals_torch_from_states_along_a_run(case: Case, steps) -> None:
    for row in range(NUM_RUNS):
        alone = run_of(case, row, torch.float32)
        grads = grads_of(STEPS, NUM_RUNS, torch.float32)[:, row]
        for step in range(STEPS):
            native = run_of(case, row, torch.float32)
            native.weights.copy_(alone.weights)
            native.optimizers[0].load_state_dict(deepcopy(alone.optimizers[0].state_dict()))
            take_steps(
                steps[torch.float32], native, update_of(native), RATES[step : step + 1, row], grads[step : step + 1]
            )
            step_alone(alone, row, step, grads[step : step + 1])
            assert_same(native, alone, 1e-6)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradient_that_is_no_number_goes_where_it_goes_in_torch(case: Case, value: float, steps) -> None:
    for row in range(NUM_RUNS):
        native, alone = (run_of(case, row, torch.float64) for _ in range(2))
        grads = grads_of(6, NUM_RUNS, torch.float64)[:, row]
        grads[2, ::3] = value
        update = update_of(native)
        for first, last in ((0, 3), (3, 6)):
            take_steps(steps[torch.float64], native, update, RATES[first:last, row], grads[first:last])
            step_alone(alone, row, first, grads[first:last])
            assert_same(native, alone, 1e-12)
    sign_of_it_counts = case.kind == "Rprop"  # torch's sign of NaN is 0
    assert native.weights.isfinite().all() == sign_of_it_counts


@pytest.mark.parametrize("case", CASES, ids=str)
def test_weights_that_are_no_numbers_stay_it(case: Case, steps) -> None:
    native, alone = (run_of(case, 2, torch.float32) for _ in range(2))
    for run in (native, alone):
        run.weights[0, :2] = torch.tensor([torch.nan, torch.inf])
    grads = grads_of(2, NUM_RUNS, torch.float32)[:, 2]
    take_steps(steps[torch.float32], native, update_of(native), RATES[:2, 2], grads)
    step_alone(alone, 2, 0, grads)
    assert torch.equal(native.weights.isfinite(), alone.weights.isfinite())
    assert_close(native.weights[native.weights.isfinite()], alone.weights[alone.weights.isfinite()], 1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_steps_of_torch_and_of_c_take_turns(case: Case, steps) -> None:
    """One update for the whole run: what torch has done in between is seen, in the views and in a state loaded."""
    for row in range(NUM_RUNS):
        native, alone = (run_of(case, row, torch.float64) for _ in range(2))
        grads = grads_of(2 * STEPS, NUM_RUNS, torch.float64)[:, row]
        step_alone(native, row, 0, grads[:3])
        update = update_of(native)
        addresses = [update.pointers(number) for number in range(4)]
        take_steps(steps[torch.float64], native, update, RATES[3:8, row], grads[3:8])
        step_alone(native, row, 8, grads[8:14])
        take_steps(steps[torch.float64], native, update, RATES[14:17, row], grads[14:17])
        native.optimizers[0].load_state_dict(deepcopy(native.optimizers[0].state_dict()))
        take_steps(steps[torch.float64], native, update, RATES[17:24, row], grads[17:24])
        step_alone(native, row, 24, grads[24:30])
        step_alone(alone, row, 0, grads[:30])
        assert_same(native, alone, 1e-11)
        assert addresses == [update.pointers(number) for number in range(4)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_optimizer_that_forgets_starts_anew(case: Case, steps) -> None:
    """As where a training goes back to its beginning; a state is emptied in either of two ways."""
    grads = grads_of(STEPS, NUM_RUNS, torch.float64)[:, 1]
    fresh = run_of(case, 1, torch.float64)
    take_steps(steps[torch.float64], fresh, update_of(fresh), RATES[:STEPS, 1], grads)
    for empties in (lambda state: state.clear(), lambda state: [own.clear() for own in state.values()]):
        run = run_of(case, 1, torch.float64)
        before, update = run.weights.clone(), update_of(run)
        take_steps(steps[torch.float64], run, update, RATES[:5, 1], grads[:5])
        run.weights.copy_(before)
        empties(run.optimizers[0].state)
        take_steps(steps[torch.float64], run, update, RATES[:STEPS, 1], grads)
        assert_same(run, fresh, 0.0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_optimizer_that_has_not_begun_looks_as_torch_leaves_it(case: Case) -> None:
    run, fresh = run_of(case, 1, torch.float64), run_of(case, 1, torch.float64)
    update = update_of(run)
    update.plan([0.1, 0.1])
    update.mirror()
    assert_same(run, fresh, 0.0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_bits_do_not_depend_on_where_neighbours_are_cut(case: Case, dtype: torch.dtype, steps) -> None:
    """A long tensor in one call, and in parts as threads and units cut it; nothing outside is touched."""
    size, edge = 1301, 8
    random = np.random.default_rng(3)
    whole = torch.from_numpy(random.normal(size=(4, size + 2 * edge))).to(dtype)
    results = []
    for cuts in ([0, size], [0, 1, 4, 20, 531, 1043, 1300, size], [*range(0, size, 7), size]):
        weights = whole[0].clone()
        parameter = nn.Parameter(weights[edge : edge + size])
        settings = case.settings(np.random.default_rng(1)) | ({"weight_decay": 0.1} if case.decays else {})
        optimizer = getattr(torch.optim, case.kind)([parameter], lr=0.01, **settings)
        update = NativeUpdate(optimizer, [parameter])
        for step, coefficients in enumerate(update.plan([0.01, 0.02, 0.03])):
            for first, last in pairwise(cuts):
                grad = whole[1 + step, edge + first : edge + last].clone()
                step_of(steps[dtype], update, coefficients, (0, parameter, first), grad)
        update.advance(3)
        assert torch.equal(weights[:edge], whole[0, :edge])
        assert torch.equal(weights[-edge:], whole[0, -edge:])
        results.append([weights, *optimizer.state.get(parameter, {}).values()])
    for other in results[1:]:
        assert all(torch.equal(found, expected) for found, expected in zip(other, results[0], strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_pointers_are_those_of_torchs_state(case: Case, steps) -> None:
    run = run_of(case, 0, torch.float64)
    update = update_of(run)
    take_steps(steps[torch.float64], run, update, RATES[:1, 0], grads_of(1, NUM_RUNS, torch.float64)[:, 0])
    for number, parameter in enumerate(run.parameters[0]):
        state = run.optimizers[0].state.get(parameter, {})
        held = {value.data_ptr() for name, value in state.items() if name not in ("step", "mu_product")}
        pointers = update.pointers(number)
        assert len(pointers) == NUM_STATES
        assert {address for address in pointers if address is not None} == held


@pytest.mark.parametrize("case", CASES, ids=str)
def test_state_tensor_that_somebody_replaces_is_taken_over(case: Case, steps) -> None:
    native, alone = (run_of(case, 1, torch.float64) for _ in range(2))
    grads = grads_of(STEPS, NUM_RUNS, torch.float64)[:, 1]
    update = update_of(native)
    take_steps(steps[torch.float64], native, update, RATES[:5, 1], grads[:5])
    step_alone(alone, 1, 0, grads[:5])
    for run in (native, alone):
        for state in run.optimizers[0].state.values():
            for name, value in state.items():
                if name not in ("step", "mu_product"):
                    state[name] = value * 1.5
    take_steps(steps[torch.float64], native, update, RATES[5:9, 1], grads[5:9])
    step_alone(alone, 1, 5, grads[5:9])
    assert_same(native, alone, 1e-12)


@pytest.mark.parametrize("kind", ["Adam", "NAdam"])
def test_counts_follow_torchs_default_data_type(kind: str, steps) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        native, alone = (run_of(Case(kind), 1, torch.float64) for _ in range(2))
        grads = grads_of(STEPS, NUM_RUNS, torch.float64)[:, 1]
        take_steps(steps[torch.float64], native, update_of(native), RATES[:STEPS, 1], grads)
        step_alone(alone, 1, 0, grads)
        assert_same(native, alone, 1e-12)
    finally:
        torch.set_default_dtype(torch.float32)
