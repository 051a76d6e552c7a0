"""Stage 1: an image to a grid of codes and back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from monai_vqoasis.networks.vector_quantizer import VectorQuantizer

__all__ = ["VQVAE", "VQVAEOutput"]


class VQVAEOutput(NamedTuple):
    """What training asks of :class:`VQVAE`.

    Attributes:
        reconstruction: same shape as the image; not clamped.
        codes: int64, B h w.
        quantization_loss: scalar, see :class:`VectorQuantizer`.
    """

    reconstruction: torch.Tensor
    codes: torch.Tensor
    quantization_loss: torch.Tensor


class VQVAE(nn.Module):
    """Vector-quantised autoencoder (van den Oord et al. 2017, https://arxiv.org/abs/1711.00937) for 2D images.

    Every encoder layer halves the grid and every decoder layer doubles it, so that an image B C H W becomes codes
    B ceil(H/s) ceil(W/s) with s = 2 ** len(encoder_channels). An image whose size does not divide by s is padded with
    zeros (background) at the bottom and right, and its reconstruction is cropped back.

    The defaults are the architecture of the original COMP3710 report: 1,150,721 parameters, 32x32 codes for 256x256.

    Args:
        in_channels: image channels.
        out_channels: reconstruction channels.
        encoder_channels: output channels of the 3x3 stride-2 convolutions; a 1x1 convolution to ``embedding_dim``
            follows.
        decoder_channels: output channels of the 3x3 stride-2 transposed convolutions; a 3x3 convolution to
            ``out_channels`` follows. As many as ``encoder_channels``.
        num_embeddings: number of codes.
        embedding_dim: length of a code.
        quantizer_kwargs: further arguments of :class:`VectorQuantizer`.

    Raises:
        ValueError: if encoder and decoder have different numbers of layers, or an image is not B C H W.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        encoder_channels: Sequence[int] = (32, 64, 128),
        decoder_channels: Sequence[int] = (256, 128, 64),
        num_embeddings: int = 256,
        embedding_dim: int = 256,
        **quantizer_kwargs: object,
    ) -> None:
        super().__init__()
        if len(encoder_channels) != len(decoder_channels):
            raise ValueError(
                f"encoder_channels {tuple(encoder_channels)} and decoder_channels {tuple(decoder_channels)} "
                "must have the same length: every halving is undone by a doubling."
            )
        self.in_channels = in_channels
        self.stride = 2 ** len(encoder_channels)

        encoder: list[nn.Module] = []
        for before, after in pairwise((in_channels, *encoder_channels)):
            encoder += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        self.encoder = nn.Sequential(*encoder, nn.Conv2d(encoder_channels[-1], embedding_dim, 1))

        self.quantizer = VectorQuantizer(num_embeddings, embedding_dim, **quantizer_kwargs)

        decoder: list[nn.Module] = []
        for before, after in pairwise((embedding_dim, *decoder_channels)):
            decoder += [nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1), nn.ReLU()]
        self.decoder = nn.Sequential(*decoder, nn.Conv2d(decoder_channels[-1], out_channels, 3, padding=1))

    @property
    def num_embeddings(self) -> int:
        return self.quantizer.num_embeddings

    def latent_shape(self, image_size: Sequence[int]) -> tuple[int, int]:
        """Size (h, w) of the code grid of an image of ``image_size`` (H, W) pixels."""
        height, width = image_size
        return -(-height // self.stride), -(-width // self.stride)

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        """Codes (int64, B h w) of ``image`` (float, B C H W, values in [0, 1])."""
        return self.quantizer.encode(self.encoder(self._pad(image)))

    def decode(self, codes: torch.Tensor, image_size: Sequence[int] | None = None) -> torch.Tensor:
        """Image (B C H W) of ``codes`` (int64, B h w), cropped to ``image_size`` (H, W) where that is given."""
        return self._crop(self.decoder(self.quantizer.decode(codes)), image_size)

    def forward(self, image: torch.Tensor, full_output: bool = False) -> torch.Tensor | VQVAEOutput:
        """Reconstruct ``image`` (float, B C H W, values in [0, 1]).

        Args:
            image: the batch.
            full_output: return :class:`VQVAEOutput`, as training needs it, instead of the reconstruction alone.
        """
        quantized, codes, loss = self.quantizer(self.encoder(self._pad(image)))
        reconstruction = self._crop(self.decoder(quantized), image.shape[2:])
        return VQVAEOutput(reconstruction, codes, loss) if full_output else reconstruction

    def _pad(self, image: torch.Tensor) -> torch.Tensor:
        if image.ndim != 4 or image.shape[1] != self.in_channels:
            raise ValueError(f"image must be B {self.in_channels} H W, got shape {tuple(image.shape)}.")
        height, width = image.shape[2:]
        below, right = -height % self.stride, -width % self.stride
        return F.pad(image, (0, right, 0, below)) if below or right else image

    @staticmethod
    def _crop(image: torch.Tensor, image_size: Sequence[int] | None) -> torch.Tensor:
        return image if image_size is None else image[..., : image_size[0], : image_size[1]]
