"""Stage 2: which grids of codes are brains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from monai_vqoasis.errors import InputError
from monai_vqoasis.networks.masked_conv import MaskedCodeConv2d, MaskedConv2d
from monai_vqoasis.networks.vector_quantizer import codebook_fingerprint
from monai_vqoasis.networks.vqvae import VectorQuantizedAutoencoder

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


class PixelCNN(nn.Module):
    """Autoregressive prior p(codes) = prod_i p(code_i | codes before i in raster order) over grids of codes.

    van den Oord et al. 2016 (https://arxiv.org/abs/1601.06759). The defaults are the architecture of the original
    COMP3710 report, 2,367,424 parameters. In evaluation mode the logits at a position depend only on earlier
    codes; in training mode batch norm shares statistics between positions, as everywhere in that architecture.

    A trained prior knows its codebook: ``latent_shape`` and ``codebook_fingerprint`` are buffers that
    :meth:`pair_with` fills, that save and load with the weights, and that :meth:`check_paired_with` compares.

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
        super().__init__()
        self.num_embeddings = num_embeddings
        self.stem = nn.Sequential(*_activated(MaskedCodeConv2d(num_embeddings, channels, kernel_size)))
        self.blocks = nn.Sequential(
            *[PixelCNNBlock(channels, hidden_channels, block_kernel_size) for _ in range(num_blocks)]
        )
        head: list[nn.Module] = []
        for _ in range(num_head_layers):
            head += _activated(MaskedConv2d(channels, channels, 1, mask_type="B"))
        self.head = nn.Sequential(*head, nn.Conv2d(channels, num_embeddings, 1))
        self.register_buffer("latent_shape", torch.zeros(2, dtype=torch.int64))
        self.register_buffer("codebook_fingerprint", torch.zeros(32, dtype=torch.uint8))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Logits (B K H W) of ``codes`` (int64, B H W; or their one-hot form, float B K H W)."""
        return self.head(self.blocks(self.stem(codes)))

    def pair_with(self, vqvae: VectorQuantizedAutoencoder, latent_shape: Sequence[int]) -> PixelCNN:
        """Record whose codes, and which grid size (h, w), this prior is trained on; returns the prior."""
        self.latent_shape.copy_(torch.as_tensor(latent_shape))
        self.codebook_fingerprint.copy_(codebook_fingerprint(vqvae.quantizer.embedding))
        return self

    def check_paired_with(self, vqvae: VectorQuantizedAutoencoder) -> None:
        """Make sure that this prior was trained on the codes of ``vqvae``.

        Raises:
            InputError: if it was not, or was never trained.
        """
        if not self.codebook_fingerprint.any():
            raise InputError("this prior knows no codebook: it was never trained, or its weights were never loaded.")
        if self.num_embeddings != vqvae.num_embeddings:
            raise InputError(
                f"the prior was built for {self.num_embeddings} codes, the VQ-VAE has {vqvae.num_embeddings}."
            )
        if not torch.equal(self.codebook_fingerprint.cpu(), codebook_fingerprint(vqvae.quantizer.embedding)):
            raise InputError(
                "the prior was trained on another codebook than this VQ-VAE's, so its codes would mean nothing here: "
                "use the VQ-VAE that it was trained with, or train the prior again (train_prior.json)."
            )


def _activated(conv: nn.Conv2d) -> list[nn.Module]:
    """A convolution as the original uses it: ReLU first, batch norm after."""
    return [conv, nn.ReLU(), nn.BatchNorm2d(conv.out_channels)]
