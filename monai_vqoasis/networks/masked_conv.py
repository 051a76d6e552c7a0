"""Convolutions that see only what comes before in raster order."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["MaskedCodeConv2d", "MaskedConv2d"]


class MaskedConv2d(nn.Conv2d):
    """Convolution whose output at (r, c) depends only on inputs earlier in raster order.

    van den Oord et al. 2016, "Pixel Recurrent Neural Networks" (https://arxiv.org/abs/1601.06759), figure 4. Type A
    excludes the position itself (first layer: input is what is predicted), type B includes it (later layers).
    The masked weights exist but are never used: their gradient is zero.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel_size: odd size of the square kernel; the grid keeps its size.
        mask_type: ``"A"`` or ``"B"``.
        bias: whether to add a bias.

    Raises:
        ValueError: for an even kernel or another mask type.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, mask_type: str, bias: bool = True
    ) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd so that the kernel has a centre, got {kernel_size}.")
        if mask_type not in ("A", "B"):
            raise ValueError(f'mask_type must be "A" or "B", got {mask_type!r}.')
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)
        self.mask_type = mask_type
        taps = torch.arange(kernel_size * kernel_size).view(kernel_size, kernel_size)
        centre = kernel_size * kernel_size // 2
        self.register_buffer("mask", taps < centre + (mask_type == "B"), persistent=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Map ``input`` (B C H W) to B out_channels H W."""
        return self._conv_forward(input, self.weight * self.mask, self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, mask_type={self.mask_type!r}"


class MaskedCodeConv2d(MaskedConv2d):
    """Type-A convolution on one-hot codes, computed as what it is: a sum of table look-ups, one row per visible tap.

    Args:
        num_embeddings: number of codes K, the channels of the one-hot input.
        out_channels: output channels.
        kernel_size: odd size of the square kernel.
    """

    def __init__(self, num_embeddings: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(num_embeddings, out_channels, kernel_size, mask_type="A")

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Map codes to B out_channels H W.

        Args:
            input: integer codes B H W in [0, K), or their one-hot (or relaxed) form, float B K H W, which is
                convolved: the definition that the look-ups are held against.
        """
        if input.is_floating_point():
            return super().forward(input)
        # row k * taps + t of the table is the contribution of code k seen through tap t; a tap outside the grid
        # points at the padding row, which embedding_bag leaves out of the sum
        taps = int(self.mask.sum())
        table = self.weight[:, :, self.mask].permute(1, 2, 0).reshape(-1, self.out_channels)
        padding = table.new_zeros(1, self.out_channels)
        edge = self.kernel_size[0] // 2
        padded = F.pad(input, (edge, edge, edge, 0), value=-1)
        height, width = input.shape[1:]
        seen = torch.stack([padded[:, r : r + height, c : c + width] for r, c in self.mask.nonzero().tolist()], dim=-1)
        rows = seen * taps + torch.arange(taps, device=input.device)
        rows = torch.where(seen < 0, len(table), rows).reshape(-1, taps)
        summed = F.embedding_bag(rows, torch.cat([table, padding]), mode="sum", padding_idx=len(table))
        output = summed.view(-1, height, width, self.out_channels).movedim(-1, 1)
        return output if self.bias is None else output + self.bias.view(-1, 1, 1)
