"""A model: any ``torch.nn.Module`` that maps [B, F] to [B, O]. nnlab passes num_inputs and num_outputs."""

from torch import Tensor, nn


class ResidualMLP(nn.Module):
    """Blocks of two linear layers with a way around them (He et al., 2016).

    Args:
        num_inputs: columns F.
        num_outputs: numbers O for each row.
        width: units of every layer.
        num_blocks: how many there are.
    """

    def __init__(self, num_inputs: int, num_outputs: int, width: int, num_blocks: int) -> None:
        super().__init__()
        self.first = nn.Linear(num_inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)) for _ in range(num_blocks)
        )
        self.last = nn.Linear(width, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """From inputs, [B, F], to outputs, [B, O]."""
        hidden = self.first(x)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.last(hidden)
