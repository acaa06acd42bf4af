"""What the members of a search have in common before any of them is trained."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from nnlab.rows import Rows
from nnlab.sweep.plan import PlannedMember
from nnlab.sweep.probe import build_probe, fitting_key


@final
@dataclass(frozen=True)
class Likeness:
    """What is known of members.

    Args:
        width: how many of them one stack takes; 1 where they do not fit together.
        monitor: the metric that chooses the best epoch.
        columns: the metrics that there are.
        growing: names of metrics of which more is better.
        steps: of a whole training.
        steps_between: two evaluations.
    """

    width: int
    monitor: str
    columns: tuple[str, ...]
    growing: frozenset[str]
    steps: int
    steps_between: int

    def direction(self, metric: str) -> Literal["minimize", "maximize"]:
        """Where a metric is to go.

        Args:
            metric: such as ``valid/loss``.
        """
        return "maximize" if metric.partition("/")[2] in self.growing else "minimize"


def likeness(members: Sequence[PlannedMember], plugins: Sequence[str]) -> Likeness:
    """Build the first of some members, to know what all of them are like.

    Args:
        members: that differ as much as any two.
        plugins: packages that are granted.

    Raises:
        ValueError: if it cannot be built.
    """
    config = {**copy.deepcopy(dict(members[0].config)), "plugins": list(plugins)}
    probe = build_probe(config, members[0], Rows())
    fit_together = len({fitting_key(member.config) for member in members}) == 1
    steps_between = probe.steps_per_epoch * int(members[0].config["trainer"]["eval_every"])
    width = probe.width if fit_together else 1
    return Likeness(width, probe.monitor, probe.columns, probe.growing, probe.steps, steps_between)
