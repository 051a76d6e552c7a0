"""Stage 1 with more for its multiply-adds: residual blocks on small grids, codes of few dimensions, a black ground."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from monai_vqoasis.networks.recorded_settings import RecordsSettings
from monai_vqoasis.networks.vector_quantizer import VectorQuantizer
from monai_vqoasis.networks.vqvae import VectorQuantizedAutoencoder, crop_to_size, pad_to_stride

__all__ = ["ResidualBlock", "ResidualVQVAE", "UnitRange"]


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))), 3x3, the last convolution zero at the start: the block begins as the identity.

    Without normalisation, which would lift the noise of a black background: the start at the identity (Zhang et al.
    2019, "Fixup Initialization", https://arxiv.org/abs/1901.09321) trains as well here.

    Args:
        channels: of input and output, B C H W.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        nn.init.zeros_(self.block[3].weight)
        nn.init.zeros_(self.block[3].bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.block(features)


class UnitRange(nn.Module):
    """Clamps to [0, 1]; in training the gradient passes unless its descent leads further out.

    A brain pixel below zero is wrong, and comes back. A background pixel below zero is black: squared error has no
    gradient there, but structural similarity, which sees the pixels around, would pull it down for ever.
    """

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if self.training and not torch.jit.is_scripting():
            return _ClampToUnitRange.apply(image)
        return image.clamp(0, 1)


class _ClampToUnitRange(torch.autograd.Function):
    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, image: torch.Tensor) -> torch.Tensor:
        context.save_for_backward(image)
        return image.clamp(0, 1)

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, gradient: torch.Tensor) -> torch.Tensor:
        (image,) = context.saved_tensors
        further_out = ((image < 0) & (gradient > 0)) | ((image > 1) & (gradient < 0))
        return gradient.masked_fill(further_out, 0.0)


class ResidualVQVAE(RecordsSettings, VectorQuantizedAutoencoder):
    """Residual autoencoder of stride 8 that computes on grids of a quarter and an eighth of the image.

    Pixels are unshuffled (Shi et al. 2016, https://arxiv.org/abs/1609.05158) 4x4 into channels and back: no
    convolution runs at full resolution, where the original spends most of its multiply-adds. The code is looked up in
    few dimensions (Yu et al. 2022, "Vector-quantized Image Modeling", https://arxiv.org/abs/2110.04627).

    With a ``field_of_view`` the codes are spent on the middle of the image alone, which is stretched to
    ``resampled_size`` and back (bicubic, antialiased): all brains of the 171 people that were measured lie in the
    middle 144x176 of 256x256 pixels, and 32x32 codes over 152x184 are 2.3 times as many for the brain as over all. What
    lies outside is not coded and comes back black; images of any size give the same grid. The weights record both
    sizes, see :class:`RecordsSettings`.

    Args:
        in_channels: image channels.
        out_channels: reconstruction channels.
        channels: features at a quarter and at an eighth of the image's size.
        encoder_blocks: residual blocks of the encoder at those sizes.
        decoder_blocks: residual blocks of the decoder at those sizes.
        num_embeddings: number of codes.
        embedding_dim: length of a code.
        field_of_view: size (H, W) of the middle that is coded; None codes the whole image at its own resolution.
        resampled_size: size that the field of view is stretched to, divisible by 8.
        quantizer_kwargs: further arguments of :class:`VectorQuantizer`.

    Raises:
        ValueError: for a resampled size that 8 does not divide.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        channels: Sequence[int] = (64, 128),
        encoder_blocks: Sequence[int] = (1, 1),
        decoder_blocks: Sequence[int] = (3, 4),
        num_embeddings: int = 256,
        embedding_dim: int = 16,
        field_of_view: Sequence[int] | None = None,
        resampled_size: Sequence[int] = (256, 256),
        **quantizer_kwargs: object,
    ) -> None:
        if any(size % 8 for size in resampled_size):
            raise ValueError(f"resampled_size must be divisible by 8, got {tuple(resampled_size)}.")
        fine, coarse = channels
        encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(16 * in_channels, fine, 3, padding=1),
            *(ResidualBlock(fine) for _ in range(encoder_blocks[0])),
            nn.ReLU(),
            nn.Conv2d(fine, coarse, 3, stride=2, padding=1),
            *(ResidualBlock(coarse) for _ in range(encoder_blocks[1])),
            nn.ReLU(),
            nn.Conv2d(coarse, embedding_dim, 1),
        )
        decoder = nn.Sequential(
            nn.Conv2d(embedding_dim, coarse, 3, padding=1),
            *(ResidualBlock(coarse) for _ in range(decoder_blocks[1])),
            nn.ReLU(),
            nn.Conv2d(coarse, 4 * fine, 3, padding=1),
            nn.PixelShuffle(2),
            *(ResidualBlock(fine) for _ in range(decoder_blocks[0])),
            nn.ReLU(),
            nn.Conv2d(fine, 16 * out_channels, 3, padding=1),
            nn.PixelShuffle(4),
        )
        quantizer = VectorQuantizer(num_embeddings, embedding_dim, **quantizer_kwargs)
        super().__init__(encoder, decoder, quantizer, in_channels, stride=8)
        self.field_of_view = None if field_of_view is None else tuple(field_of_view)
        self.resampled_size = tuple(resampled_size)
        self.unit_range = UnitRange()

    def recorded_settings(self) -> dict[str, tuple[int, ...]]:
        nothing = (0, 0)
        return {
            "field_of_view": self.field_of_view or nothing,
            "resampled_size": self.resampled_size if self.field_of_view else nothing,
        }

    def latent_shape(self, image_size: Sequence[int]) -> tuple[int, int]:
        return super().latent_shape(image_size if self.field_of_view is None else self.resampled_size)

    def image_size(self, latent_shape: Sequence[int]) -> tuple[int, int]:
        return super().image_size(latent_shape) if self.field_of_view is None else self.field_of_view

    def prepare(self, image: torch.Tensor) -> torch.Tensor:
        self.check_image(image)
        if self.field_of_view is None:
            return pad_to_stride(image, self.stride)
        return _resample(_centre(image, self.field_of_view), self.resampled_size)

    def restore(self, image: torch.Tensor, image_size: list[int] | None) -> torch.Tensor:
        if self.field_of_view is None:
            return self.unit_range(crop_to_size(image, image_size))
        image = self.unit_range(_resample(image, self.field_of_view))
        return image if image_size is None else _centre(image, image_size)

    def spread(self, grid: torch.Tensor, image_size: Sequence[int]) -> torch.Tensor:
        if self.field_of_view is None:
            return super().spread(grid, image_size)
        return _centre(F.interpolate(grid, self.field_of_view, mode="bilinear"), image_size)


def _resample(image: torch.Tensor, size: list[int]) -> torch.Tensor:
    return F.interpolate(image.float(), size, mode="bicubic", antialias=True)


def _centre(image: torch.Tensor, size: list[int]) -> torch.Tensor:
    """The middle of ``image`` in ``size`` (H, W): cut off, or padded with black, which puts back what was cut off."""
    padding: list[int] = []
    for axis in (1, 0):  # F.pad begins with the last one
        missing = size[axis] - image.shape[axis + 2]
        before = abs(missing) // 2 * (1 if missing >= 0 else -1)
        padding += [before, missing - before]
    return F.pad(image, padding)
