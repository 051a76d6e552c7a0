"""How a prior is computed wave by wave, each activation once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from monai_vqoasis.networks import CodePrior, MaskedConv2d

__all__ = ["Wave", "WavefrontPlan", "bias_of"]


class Wave(NamedTuple):
    """Positions drawn together, of all samples: B * n indices, sample by sample.

    Attributes:
        grid: into the flattened grids (B h w).
        padded: into the flattened grids with a margin and rows in scan order, as activations are cached.
        seen: for the taps of each kernel, into the same, what each position sees: B * n * taps.
    """

    grid: torch.Tensor
    padded: torch.Tensor
    seen: dict[Taps, torch.Tensor]


Taps = tuple[tuple[int, int], ...]
Step = Callable[[torch.Tensor, Wave], torch.Tensor]


class WavefrontPlan:
    """How a prior computes its logits wave by wave: a list of steps, appended by :func:`plan_layer` for its modules.

    Activations are matrices of B * n rows (sample by sample, then position by position) and C columns.

    Args:
        network: a causal network in evaluation mode.
        codes: the grid to fill, int64, B h w; -1 where a code is to be drawn.
        conditions: of the network, by name, B each.
    """

    def __init__(
        self, network: CodePrior, codes: torch.Tensor, conditions: Mapping[str, torch.Tensor] | None = None
    ) -> None:
        self.conditions = dict(conditions or {})
        convolutions = [m for m in network.modules() if isinstance(m, MaskedConv2d)]
        self.edge = max(conv.edge for conv in convolutions)
        self.shape = codes.shape
        self._rank = network.scan_order(codes.shape[1], codes.device).argsort()
        self.margin = (self.edge, self.edge, self.edge, 0)
        self._codes = F.pad(torch.full_like(codes, -1), self.margin, value=-1)
        self.waves = self._waves(network.wave(codes.shape[1:], codes.device), {_taps(conv) for conv in convolutions})
        self.steps: list[Step] = []
        self._affine: tuple[torch.Tensor, torch.Tensor] | None = None

    def logits(self, wave: Wave) -> torch.Tensor:
        """Logits (B * n, K) at the positions of a wave, of which all earlier ones have codes."""
        self._flush_affine()
        x = self._codes.new_empty(0)
        for step in self.steps:
            x = step(x, wave)
        return x

    def write_codes(self, wave: Wave, codes: torch.Tensor) -> None:
        """Set the codes (int64, B * n) of a wave."""
        self._codes.view(-1).index_copy_(0, wave.padded, codes)

    def codes(self) -> torch.Tensor:
        """The grid as it stands, int64, B h w."""
        return self._codes[:, self.edge :, self.edge : self.edge + self.shape[2]].index_select(1, self._rank)

    def add(self, step: Step) -> None:
        """Append a step."""
        self._flush_affine()
        self.steps.append(step)

    @contextlib.contextmanager
    def residual(self) -> Iterator[None]:
        """What is appended inside is a branch, whose input is added to what comes out."""
        kept: list[torch.Tensor] = []

        def keep(x: torch.Tensor, wave: Wave) -> torch.Tensor:
            kept[:] = [x]
            return x

        self.add(keep)
        yield
        self.add(lambda x, wave: x + kept[0])

    def add_affine(self, scale: torch.Tensor, shift: torch.Tensor) -> None:
        """Append x * scale + shift, which the next linear step takes in where it follows at once."""
        self._flush_affine()
        self._affine = (scale, shift)

    def add_linear(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Append x @ weight.T + bias (weight: out in)."""
        if self._affine is not None:
            scale, shift = self._affine
            self._affine = None
            weight, bias = weight * scale, bias + weight @ shift
        self.steps.append(lambda x, wave: F.linear(x, weight, bias))

    def add_convolution(self, conv: MaskedConv2d) -> None:
        """Append a masked convolution: keep the wave's input, then one product with what is seen through the taps."""
        self._flush_affine()
        taps, bias = _taps(conv), bias_of(conv)
        weight = conv.weight[:, :, conv.mask].movedim(1, 2).flatten(1).contiguous()
        cache = conv.weight.new_zeros(self._codes.numel(), conv.in_channels)

        def step(x: torch.Tensor, wave: Wave) -> torch.Tensor:
            cache.index_copy_(0, wave.padded, x)
            return F.linear(cache.index_select(0, wave.seen[taps]).view(len(x), -1), weight, bias)

        self.steps.append(step)

    def seen_codes(self, conv: MaskedConv2d) -> Callable[[Wave], torch.Tensor]:
        """What a convolution sees of the codes in a wave: B * n taps, -1 outside the grid."""
        taps, codes = _taps(conv), self._codes.view(-1)
        return lambda wave: codes.index_select(0, wave.seen[taps]).view(-1, len(taps))

    def add_context(self, context: torch.Tensor) -> None:
        """Append x + context (B C h w, rows in scan order) at the wave's positions."""
        rows = F.pad(context, self.margin).movedim(1, -1).flatten(0, 2)
        self.add(lambda x, wave: x + rows.index_select(0, wave.padded))

    def _flush_affine(self) -> None:
        if self._affine is not None:
            scale, shift = self._affine
            self._affine = None
            self.steps.append(lambda x, wave: torch.addcmul(shift, x, scale))

    def _waves(self, time: torch.Tensor, kernels: set[Taps]) -> list[Wave]:
        batch, height, width = self.shape
        stride = self._codes.shape[2]
        device = self._codes.device
        samples = torch.arange(batch, device=device).unsqueeze(1)
        offsets = {taps: torch.tensor([r * stride + c for r, c in taps], device=device) for taps in kernels}
        waves = []
        for t in time.unique().tolist():
            r, c = (time == t).nonzero().unbind(1)
            grid = samples * (height * width) + r * width + c
            padded = samples * self._codes[0].numel() + (self._rank[r] + self.edge) * stride + c + self.edge
            seen = {taps: (padded.unsqueeze(2) + offset).flatten() for taps, offset in offsets.items()}
            waves.append(Wave(grid.flatten(), padded.flatten(), seen))
        return waves


def bias_of(conv: nn.Conv2d) -> torch.Tensor:
    """A convolution's bias, zero where it has none."""
    return conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias


def _taps(conv: MaskedConv2d) -> Taps:
    return tuple(conv.taps())
