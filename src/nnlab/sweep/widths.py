"""How many members one stack takes: by rules on shapes, caches and memory, never by a stopwatch."""

from collections.abc import Sequence
from dataclasses import dataclass

#: microseconds that a lone step costs beside its arithmetic; what a stack saves
OVERHEAD_US = 150.0
#: multiply-adds, and numbers of activations that ten elementwise passes go over, done in a microsecond by one core
#: (measured with stacks of 32 on Zen 4: 2-16-16-3 to 2-100-100-3)
PRODUCTS_PER_US = 60_000.0
NUMBERS_PER_US = 800.0
#: the same of a compiled step, with the weights that it updates, and what it costs beside them
#: (measured with 2-16-16-3 at batch 32, 3.8, 1-100-1 at 1,000, 90, and 2-100-100-3 at 1,000, 430)
COMPILED_PRODUCTS_PER_US = 80_000.0
COMPILED_NUMBERS_PER_US = 1_300.0
COMPILED_WEIGHTS_PER_US = 5_000.0
COMPILED_US = 2.0
#: microseconds of an epoch beside its steps: its order, evaluation and row; a stack has them once
EPOCH_US = 900.0
#: what compiled steps one by one have to take at most, of a stack's time, for a stack to be let go of: its folders are
#: made faster too
LEAST_GAIN = 0.8
#: a step whose arithmetic takes longer fills a core by itself: 2-100-100-3 gains at batch 100 (75) and loses at 1,000
MOST_US = 120.0
#: what the members of a stack may touch in one step, so that it stays in the last cache of a desktop or server core
CACHE_BYTES = 16 << 20
#: more gain nothing: at 2-16-16-2 a member of 128 costs as much as one of 512
MOST_ON_CPU = 256
MOST_ON_CUDA = 4096
#: what a member may take of a device's free memory, all together
CUDA_BYTES = 8 << 30


@dataclass(frozen=True)
class Step:
    """The size of one training step of one member.

    Args:
        num_rows: rows in a batch.
        shapes: (inputs, outputs) of each linear layer.
        num_parameters: in all layers.
        bytes_each: of one number.
        is_on_cpu: whether it is computed there.
    """

    num_rows: int
    shapes: Sequence[tuple[int, int]]
    num_parameters: int
    bytes_each: int
    is_on_cpu: bool

    @property
    def arithmetic_us(self) -> float:
        """Microseconds of arithmetic on one core, roughly."""
        products = 3 * self.num_rows * sum(inputs * outputs for inputs, outputs in self.shapes)
        numbers = self.num_rows * sum(outputs for _, outputs in self.shapes)
        return (products / PRODUCTS_PER_US + numbers / NUMBERS_PER_US) * self.bytes_each / 4

    @property
    def lone_us(self) -> float:
        """Microseconds of a step by itself, roughly."""
        return OVERHEAD_US + self.arithmetic_us

    @property
    def compiled_us(self) -> float:
        """Microseconds of a compiled step by itself, roughly."""
        products = 3 * self.num_rows * sum(inputs * outputs for inputs, outputs in self.shapes)
        numbers = self.num_rows * sum(outputs for _, outputs in self.shapes)
        arithmetic = products / COMPILED_PRODUCTS_PER_US + numbers / COMPILED_NUMBERS_PER_US
        return COMPILED_US + (arithmetic + self.num_parameters / COMPILED_WEIGHTS_PER_US) * self.bytes_each / 4

    def gains_compiled(self, num_members: int, steps_per_epoch: int) -> bool:
        """Whether members are done sooner one by one, by compiled steps, than in a stack.

        Args:
            num_members: of the stack.
            steps_per_epoch: optimizer steps in an epoch.
        """
        epoch_us = EPOCH_US / steps_per_epoch
        stacked_us = (OVERHEAD_US + epoch_us) / num_members + self.arithmetic_us
        return self.compiled_us + epoch_us < LEAST_GAIN * stacked_us

    @property
    def num_bytes(self) -> int:
        """Memory that a step touches: parameters, gradient and two means of it; activations and their gradients."""
        numbers = 4 * self.num_parameters + 3 * self.num_rows * sum(outputs for _, outputs in self.shapes)
        return max(1, numbers * self.bytes_each)

    @property
    def width(self) -> int:
        """The most members that one stack takes; 1 where none gains."""
        if not self.is_on_cpu:
            return max(1, min(MOST_ON_CUDA, CUDA_BYTES // self.num_bytes))
        if self.arithmetic_us > MOST_US:
            return 1
        return max(1, min(MOST_ON_CPU, CACHE_BYTES // self.num_bytes))


def num_stacks(num_members: int, width: int, num_workers: int) -> int:
    """How many stacks, as equal as they can be, some members make.

    Args:
        num_members: that fit together.
        width: the most that one takes.
        num_workers: processes that train at a time; all shall have the same to do, if there is enough of it.

    Returns:
        At least 1.
    """
    needed = -(-num_members // width)
    rounds = -(-needed // num_workers)
    return min(rounds * num_workers, max(needed, num_members // LEAST_SHARE))


#: members below which a stack is not divided among workers
LEAST_SHARE = 4
