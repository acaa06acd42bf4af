"""What every metric offers."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor

from nnlab.data.dataset import Task

Reads = Literal["label", "probability", "value"]


class Metric(ABC):
    """A figure over a whole split, beside the loss.

    Metrics never see raw model outputs: ``nnlab.metric.Readout`` turns them into labels, probabilities or values in
    the target's units first, once for all metrics. Tensors may carry leading run axes, output and target the same
    ones (``expand`` costs nothing); there is then one figure for each run. Sums are in float64.
    """

    #: the column's name, as in ``valid/<name>``
    name: ClassVar[str]
    tasks: ClassVar[frozenset[Task]]
    #: ``label``: class codes, int64 [N]; ``probability``: of class 1, [N], or of each class, [N, C];
    #: ``value``: predictions in the target's units, [N, T]
    reads: ClassVar[Reads]
    greater_is_better: ClassVar[bool]

    @abstractmethod
    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The metric over all rows.

        Args:
            output: what ``reads`` says, [..., N] or [..., N, C] or [..., N, T].
            target: class codes, int64 [..., N], or values in the target's units, [..., N, T].

        Returns:
            Float64, shape [...] (a scalar where there are no run axes), on the outputs' device; NaN where the metric
            is not defined for these rows.
        """

    def part(self, output: Tensor, target: Tensor) -> Tensor | None:
        """What some of the rows add to the metric over all of them, for rows that do not fit into memory.

        Args:
            output: as for ``__call__``, of these rows.
            target: likewise.

        Returns:
            Float64, shape [..., S]; None for a metric that has to see all rows at once.
        """
        del output, target
        return None

    def merged(self, one: Tensor, other: Tensor) -> Tensor:
        """The part of two sets of rows together.

        Args:
            one: from ``part``.
            other: likewise.
        """
        return one + other

    def of_part(self, part: Tensor) -> Tensor:
        """The metric over all rows.

        Args:
            part: of all rows.

        Returns:
            As ``__call__``.
        """
        raise NotImplementedError(f"{type(self).__name__} sees all rows at once")
