"""What the steps of one epoch leave behind, on the device until the host reads anyway."""

import math
from collections.abc import Mapping, Sequence
from operator import mul
from typing import Any, final

import torch
from torch import Tensor

from nnlab.trainer.batches import Batch
from nnlab.trainer.folded import Folded


@final
class EpochRecord:
    """Losses of every step and, where an evaluation follows, the outputs of every batch."""

    def __init__(self) -> None:
        self._buffer: Tensor | None = None
        self._read: list[float] = []
        self._unread: list[Tensor] = []
        self._sizes: list[int] = []
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []
        self.keeps_outputs = False
        #: takes the outputs in place of this record, where there are more than are to be in memory
        self.folded: Folded | None = None
        #: the objective of the newest step, a scalar on the device
        self.last_loss = torch.tensor(torch.nan)

    def start(self, keeps_outputs: bool) -> None:
        """Forget the epoch before.

        Args:
            keeps_outputs: whether metrics over the training split will be asked for.
        """
        self.keeps_outputs = keeps_outputs
        self._read = []
        self._unread.clear()
        self._sizes.clear()
        self._outputs.clear()
        self._targets.clear()
        if self.folded is not None:
            self.folded.clear()

    def state_dict(self, keeps_all: bool) -> dict[str, Any]:
        """What a resumed run needs of the epoch under way; its batches' targets are found again by ``pass_over``.

        Args:
            keeps_all: False where the epoch is over and evaluated, and nothing of it is needed.
        """
        if not keeps_all:
            return {"losses": [], "sizes": [], "outputs": []}
        outputs = [torch.cat(self._outputs)] if self._outputs else []
        folded = {} if self.folded is None else {"folded": self.folded.state_dict()}
        return {"losses": list(self.losses()), "sizes": list(self._sizes), "outputs": outputs} | folded

    def load_state_dict(self, state: Mapping[str, Any], like: Tensor) -> None:
        """Take back what ``state_dict`` gave.

        Args:
            state: what it gave.
            like: a tensor on the device that outputs were on.
        """
        self._read = list(state["losses"])
        self._unread = []
        self._sizes = [int(size) for size in state["sizes"]]
        self._outputs = [outputs.to(like.device) for outputs in state["outputs"]]
        self._targets = []
        if self.folded is not None and "folded" in state:
            self.folded.load_state_dict(state["folded"], like.device)

    def pass_over(self, targets: Sequence[Tensor]) -> None:
        """Keep the targets of batches whose losses and predictions an earlier process left."""
        if self.keeps_outputs:
            self._targets.extend(targets)

    def add(self, loss: Tensor, predictions: Sequence[Tensor], batches: Sequence[Batch]) -> None:
        """Keep what a step gave.

        Args:
            loss: the objective before the update, a scalar on the device.
            predictions: for each batch, shape [B, O].
            batches: what was trained on.
        """
        self.last_loss = loss
        self._unread.append(loss)
        self._sizes.append(sum(len(prediction) for prediction in predictions))
        self.add_outputs(predictions, [batch.target for batch in batches])

    def add_steps(self, losses: Tensor, sizes: Sequence[int]) -> None:
        """Keep what several steps gave whose outputs ``add_outputs`` is told of.

        Args:
            losses: the objective of each, on the CPU.
            sizes: the rows of each.
        """
        self.last_loss = losses[-1]
        self.add_read(losses.tolist(), sizes)

    def add_read(self, losses: Sequence[float], sizes: Sequence[int]) -> None:
        """Keep what several steps gave, whose outputs are somebody else's to keep.

        Args:
            losses: the objective of each.
            sizes: the rows of each.
        """
        self._read.extend(losses)
        self._sizes.extend(sizes)

    def add_outputs(self, predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
        """Keep the predictions and targets of steps that ``add_read`` was told of."""
        if not self.keeps_outputs:
            return
        if self.folded is not None:
            self.folded.add(predictions, targets)
            return
        self._outputs.extend(predictions)
        self._targets.extend(targets)

    def losses(self) -> list[float]:
        """The objective of each step so far; waits for the device, once for the same steps."""
        if self._unread:
            self._read.extend(torch.stack(self._unread).tolist())
            self._unread.clear()
        return self._read

    def mean_loss(self, losses: Sequence[float]) -> float:
        """The mean over samples: each step's loss weighted by its rows.

        Args:
            losses: what ``losses`` gave. Non-finite ones are left out: only steps that the fp16 scaler skipped have
                them, since anything else has ended the run.
        """
        assert len(losses) == len(self._sizes), (len(losses), len(self._sizes))
        if losses and all(map(math.isfinite, losses)):
            return math.fsum(map(mul, losses, self._sizes)) / sum(self._sizes)
        finite = [(loss, size) for loss, size in zip(losses, self._sizes, strict=True) if math.isfinite(loss)]
        num_rows = sum(size for _, size in finite)
        return math.fsum(loss * size for loss, size in finite) / num_rows if num_rows else math.nan

    def outputs(self) -> tuple[Tensor, Tensor]:
        """The epoch's predictions [N, O] and targets [N, …], gathered in a buffer that is made once."""
        num_rows = sum(self._sizes)
        if self._buffer is None or len(self._buffer) < num_rows:
            self._buffer = self._outputs[0].new_empty((num_rows, *self._outputs[0].shape[1:]))
        target = self._targets[0] if len(self._targets) == 1 else torch.cat(self._targets)
        return torch.cat(self._outputs, out=self._buffer[:num_rows]), target
