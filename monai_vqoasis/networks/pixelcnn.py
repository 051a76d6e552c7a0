"""Stage 2: which grids of codes are brains."""

from __future__ import annotations

import torch
from torch import nn

from monai_vqoasis.networks.masked_conv import MaskedCodeConv2d, MaskedConv2d
from monai_vqoasis.networks.prior import CodePrior

__all__ = ["PixelCNN", "PixelCNNBlock"]


class PixelCNNBlock(nn.Module):
    """Residual block: 1x1, masked (type B) and 1x1 convolution, each with ReLU and then batch norm.

    Args:
        channels: channels in and out.
        hidden_channels: channels of the masked convolution.
        kernel_size: odd size of the masked kernel.
    """

    def __init__(self, channels: int, hidden_channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_activated(nn.Conv2d(channels, channels, 1)),
            *_activated(MaskedConv2d(channels, hidden_channels, kernel_size, mask_type="B")),
            *_activated(nn.Conv2d(hidden_channels, channels, 1)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x)


class PixelCNN(CodePrior):
    """Prior of masked convolutions (van den Oord et al. 2016, https://arxiv.org/abs/1601.06759), in raster order.

    The defaults are the architecture of the original COMP3710 report, 2,367,424 parameters. In evaluation mode the
    logits at a position depend only on earlier codes; in training mode batch norm shares statistics between positions,
    as everywhere in that architecture.

    Args:
        num_embeddings: number of codes K.
        channels: width of the residual stream.
        hidden_channels: width of the masked convolutions inside the blocks.
        num_blocks: number of residual blocks.
        num_head_layers: number of masked 1x1 layers before the output.
        kernel_size: odd size of the first, type-A kernel.
        block_kernel_size: odd size of the type-B kernels.
    """

    def __init__(
        self,
        num_embeddings: int = 256,
        channels: int = 128,
        hidden_channels: int = 64,
        num_blocks: int = 7,
        num_head_layers: int = 2,
        kernel_size: int = 7,
        block_kernel_size: int = 3,
    ) -> None:
        super().__init__(num_embeddings)
        self.stem = nn.Sequential(*_activated(MaskedCodeConv2d(num_embeddings, channels, kernel_size)))
        self.blocks = nn.Sequential(
            *[PixelCNNBlock(channels, hidden_channels, block_kernel_size) for _ in range(num_blocks)]
        )
        head: list[nn.Module] = []
        for _ in range(num_head_layers):
            head += _activated(MaskedConv2d(channels, channels, 1, mask_type="B"))
        self.head = nn.Sequential(*head, nn.Conv2d(channels, num_embeddings, 1))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Logits (B K H W) of ``codes`` (int64, B H W; or their one-hot form, float B K H W)."""
        return self.head(self.blocks(self.stem(codes)))


def _activated(conv: nn.Conv2d) -> list[nn.Module]:
    """A convolution as the original uses it: ReLU first, batch norm after."""
    return [conv, nn.ReLU(), nn.BatchNorm2d(conv.out_channels)]
