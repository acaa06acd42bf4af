"""Metrics folded together part by part: the same however rows come, and the same as of all rows at once."""

import pytest
import torch
from torch import nn

from nnlab.loss import BCE, MSE, CrossEntropy
from nnlab.metric import AUROC, R2, Accuracy, BalancedAccuracy, Readout
from nnlab.trainer.evaluation import Evaluator
from nnlab.trainer.folded import Folded

NUM_ROWS = 1000
RANDOM = torch.Generator().manual_seed(0)
CODES = torch.randint(3, (NUM_ROWS,), generator=RANDOM)
LOGITS = torch.randn(NUM_ROWS, 3, generator=RANDOM, dtype=torch.float64)
VALUES = torch.randn(NUM_ROWS, 1, generator=RANDOM, dtype=torch.float64)
TRUTH = VALUES + torch.randn(NUM_ROWS, 1, generator=RANDOM, dtype=torch.float64)
WEIGHT = [0.1, 1.0, 7.0]

CASES = {
    "classes": (CrossEntropy(0.0), [Accuracy(), BalancedAccuracy(), AUROC()], LOGITS, CODES),
    "weighted classes": (CrossEntropy(0.0, WEIGHT), [Accuracy()], LOGITS, CODES),
    "torch's weighted classes": (
        nn.CrossEntropyLoss(weight=torch.tensor(WEIGHT, dtype=torch.float64)),
        [Accuracy()],
        LOGITS,
        CODES,
    ),
    "two classes": (BCE(), [Accuracy(), AUROC()], LOGITS[:, :1], (CODES[:, None] > 0).double()),
    "values": (MSE(), [R2()], VALUES, TRUTH),
    "no metrics": (MSE(), [], VALUES, TRUTH),
}


def evaluator_of(loss, metrics):
    return Evaluator(loss, metrics, Readout.of_loss(loss))


def folded_in(sizes, evaluator, outputs, target, axis=0, rows_of_part=128):
    folded = Folded(evaluator, True, rows_of_part)
    for pair in zip(outputs.split(sizes, dim=axis), target.split(sizes, dim=axis), strict=True):
        folded.add(*([tensor] for tensor in pair))
    return torch.stack([value.double() for value in folded.values()], dim=-1)


@pytest.mark.parametrize(("loss", "metrics", "outputs", "target"), CASES.values(), ids=CASES)
def test_folded_is_what_all_rows_at_once_give(loss, metrics, outputs, target):
    evaluator = evaluator_of(loss, metrics)
    found = folded_in(90, evaluator, outputs, target)
    expected = torch.stack([value.double() for value in evaluator.scores(outputs, target)])
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=0)


@pytest.mark.parametrize("size", [1, 7, 127, 128, 129, 500, 1000])
def test_folded_has_the_same_bits_however_rows_come(size):
    evaluator = evaluator_of(CrossEntropy(0.0), [Accuracy(), BalancedAccuracy(), AUROC()])
    assert torch.equal(folded_in(size, evaluator, LOGITS, CODES), folded_in(64, evaluator, LOGITS, CODES))


def test_few_rows_have_the_bits_of_rows_in_memory():
    evaluator = evaluator_of(CrossEntropy(0.0), [Accuracy(), AUROC()])
    found = folded_in(90, evaluator, LOGITS.float(), CODES, rows_of_part=NUM_ROWS)
    assert torch.equal(found, torch.stack([value.double() for value in evaluator.scores(LOGITS.float(), CODES)]))


def test_runs_are_folded_each_by_itself():
    evaluator = evaluator_of(CrossEntropy(0.0), [Accuracy(), BalancedAccuracy(), AUROC()])
    outputs = torch.stack([LOGITS, -LOGITS])
    found = folded_in(90, evaluator, outputs, CODES.expand(2, -1), axis=1)
    alone = torch.stack([folded_in(90, evaluator, own, CODES) for own in outputs])
    torch.testing.assert_close(found, alone, rtol=1e-12, atol=0)


@pytest.mark.parametrize("at", [0, 1, 130, 999])
def test_what_is_saved_goes_on_to_the_same_bits(at):
    evaluator = evaluator_of(CrossEntropy(0.0), [Accuracy(), AUROC()])
    whole, first = Folded(evaluator, True, 128), Folded(evaluator, True, 128)
    whole.add([LOGITS], [CODES])
    first.add([LOGITS[:at]], [CODES[:at]])
    second = Folded(evaluator, True, 128)
    second.load_state_dict(first.state_dict(), torch.device("cpu"))
    second.add([LOGITS[at:]], [CODES[at:]])
    assert torch.equal(torch.stack(second.values()), torch.stack(whole.values()))


def test_asking_for_values_changes_nothing():
    evaluator = evaluator_of(MSE(), [R2()])
    folded = Folded(evaluator, True, 128)
    folded.add([VALUES[:500]], [TRUTH[:500]])
    folded.values()
    folded.add([VALUES[500:]], [TRUTH[500:]])
    assert torch.equal(torch.stack(folded.values()), folded_in(90, evaluator, VALUES, TRUTH))
