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
    The masked weights exist but are never used: their gradient is zero. ``upper_half`` leaves out those in rows below
    the position, with the same result from fewer weights and multiply-adds.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel_size: odd size k of the square kernel; the grid keeps its size.
        mask_type: ``"A"`` or ``"B"``.
        bias: whether to add a bias.
        dilation: distance between neighbouring taps.
        upper_half: keep the kernel's upper k // 2 + 1 rows only.

    Raises:
        ValueError: for an even kernel or another mask type.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        mask_type: str,
        bias: bool = True,
        dilation: int = 1,
        upper_half: bool = False,
    ) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd so that the kernel has a centre, got {kernel_size}.")
        if mask_type not in ("A", "B"):
            raise ValueError(f'mask_type must be "A" or "B", got {mask_type!r}.')
        edge = kernel_size // 2
        rows = edge + 1 if upper_half else kernel_size
        super().__init__(in_channels, out_channels, (rows, kernel_size), dilation=dilation, bias=bias)
        self.mask_type = mask_type
        self.edge = edge * dilation
        self.margin = (self.edge, self.edge, self.edge, 0 if upper_half else self.edge)
        taps = torch.arange(rows * kernel_size).view(rows, kernel_size)
        centre = edge * kernel_size + edge
        self.register_buffer("mask", taps < centre + (mask_type == "B"), persistent=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Map ``input`` (B C H W) to B out_channels H W."""
        return self._conv_forward(F.pad(input, self.margin), self.weight * self.mask, self.bias)

    def taps(self) -> list[tuple[int, int]]:
        """Offsets (rows, columns) that the kernel sees, in raster order, the position itself being (0, 0)."""
        step = self.dilation[0]
        return [(step * r - self.edge, step * c - self.edge) for r, c in self.mask.nonzero().tolist()]

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
        edge = self.edge
        padded = F.pad(input, (edge, edge, edge, 0), value=-1)
        height, width = input.shape[1:]
        seen = [padded[:, edge + r : edge + r + height, edge + c : edge + c + width] for r, c in self.taps()]
        summed = self.look_up(torch.stack(seen, dim=-1), self.table())
        return summed.view(-1, height, width, self.out_channels).movedim(-1, 1)

    def table(self) -> torch.Tensor:
        """Contribution of each code through each tap, row ``code * taps + tap``; the last row is zero."""
        rows = self.weight[:, :, self.mask].permute(1, 2, 0).reshape(-1, self.out_channels)
        return torch.cat([rows, rows.new_zeros(1, self.out_channels)])

    def look_up(self, seen: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        """Sum of the rows of :meth:`table` for the codes seen through the taps.

        Args:
            seen: int64, ... taps; -1 outside the grid.
            table: see :meth:`table`.

        Returns:
            N out_channels, N the product of the leading dimensions.
        """
        taps, nothing = seen.shape[-1], len(table) - 1
        rows = torch.where(seen < 0, nothing, seen * taps + torch.arange(taps, device=seen.device))
        summed = F.embedding_bag(rows.reshape(-1, taps), table, mode="sum", padding_idx=nothing)
        return summed if self.bias is None else summed + self.bias
