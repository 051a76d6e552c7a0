"""Stage 1: an image to a grid of codes and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from monai_vqoasis.errors import InputError
from monai_vqoasis.networks.vector_quantizer import VectorQuantizer

__all__ = ["VQVAE", "VQVAEOutput", "VectorQuantizedAutoencoder"]


class VQVAEOutput(NamedTuple):
    """What training asks of a :class:`VectorQuantizedAutoencoder`.

    Attributes:
        reconstruction: same shape as the image; clamped to [0, 1] only where the network says so.
        codes: int64, B h w.
        quantization_loss: scalar, see :class:`VectorQuantizer`.
    """

    reconstruction: torch.Tensor
    codes: torch.Tensor
    quantization_loss: torch.Tensor


class VectorQuantizedAutoencoder(nn.Module):
    """Encoder, quantiser and decoder (van den Oord et al. 2017, https://arxiv.org/abs/1711.00937) for 2D images.

    An image B C H W becomes codes B ceil(H/s) ceil(W/s). One whose size does not divide by the stride s is padded with
    zeros (background) at the bottom and right, and its reconstruction is cropped back; a subclass may do otherwise in
    :meth:`prepare` and :meth:`restore`.

    Args:
        encoder: B C H W to B D H/s W/s.
        decoder: B D h w to B C' s*h s*w.
        quantizer: of vectors of length D.
        in_channels: image channels C.
        stride: pixels along one side of a code.

    Raises:
        ValueError: if an image is not B C H W.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, quantizer: VectorQuantizer, in_channels: int, stride: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.quantizer = quantizer
        self.decoder = decoder
        self.in_channels = in_channels
        self.stride = stride

    @property
    def num_embeddings(self) -> int:
        return self.quantizer.num_embeddings

    def latent_shape(self, image_size: Sequence[int]) -> tuple[int, int]:
        """Size (h, w) of the code grid of an image of ``image_size`` (H, W) pixels."""
        height, width = image_size
        return -(-height // self.stride), -(-width // self.stride)

    def image_size(self, latent_shape: Sequence[int]) -> tuple[int, int]:
        """Size (H, W) in pixels of the image that a grid of ``latent_shape`` (h, w) codes holds."""
        height, width = latent_shape
        return height * self.stride, width * self.stride

    @torch.jit.export
    def encode(self, image: torch.Tensor) -> torch.Tensor:
        """Codes (int64, B h w) of ``image`` (float, B C H W, values in [0, 1])."""
        return self.quantizer.encode(self.encoder(self.prepare(image)))

    @torch.jit.export
    def decode(self, codes: torch.Tensor, image_size: list[int] | None = None) -> torch.Tensor:
        """Image (B C H W) of ``codes`` (int64, B h w), of ``image_size`` (H, W) where that is given."""
        return self.restore(self.decoder(self.quantizer.decode(codes)), image_size)

    def forward(self, image: torch.Tensor, full_output: bool = False) -> torch.Tensor | VQVAEOutput:
        """Reconstruct ``image`` (float, B C H W, values in [0, 1]).

        Args:
            image: the batch.
            full_output: return :class:`VQVAEOutput`, as training needs it, instead of the reconstruction alone.
        """
        quantized, codes, loss = self.quantizer(self.encoder(self.prepare(image)))
        reconstruction = self.restore(self.decoder(quantized), image.shape[2:])
        if full_output:
            return VQVAEOutput(reconstruction, codes, loss)
        return reconstruction

    def prepare(self, image: torch.Tensor) -> torch.Tensor:
        """What the encoder sees of ``image`` (B C H W): B C s*h s*w."""
        self.check_image(image)
        return pad_to_stride(image, self.stride)

    def restore(self, image: torch.Tensor, image_size: list[int] | None) -> torch.Tensor:
        """The decoder's ``image`` (B C s*h s*w) as one of ``image_size`` (H, W); None for all that the codes hold."""
        return crop_to_size(image, image_size)

    def pool(self, image: torch.Tensor) -> torch.Tensor:
        """Mean of ``image`` (B C H W) over the pixels of each code: B C h w."""
        return F.adaptive_avg_pool2d(self.prepare(image), self.latent_shape(image.shape[2:]))

    def spread(self, grid: torch.Tensor, image_size: Sequence[int]) -> torch.Tensor:
        """Values at the codes (B C h w) over an image of ``image_size`` (H, W), linearly; 0 where nothing is coded."""
        spread = F.interpolate(grid, self.image_size(grid.shape[2:]), mode="bilinear")
        return spread[..., : image_size[0], : image_size[1]]

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As ``torch.nn.Module`` does; but weights that are not there stay random for nobody.

        MONAI Label loads with ``strict=False`` whichever file its user picks, and only warns.

        Raises:
            InputError: if any is missing, and ``strict`` is False (else PyTorch's RuntimeError says so).
        """
        missing = sorted(self.state_dict().keys() - state_dict.keys())
        if missing and not strict:
            raise InputError(
                f"these are no weights of this {type(self).__name__}: {len(missing)} of its tensors are missing, the "
                f"first: {missing[0]}."
            )
        return super().load_state_dict(state_dict, strict, assign)

    def check_image(self, image: torch.Tensor) -> None:
        """Raise ValueError unless ``image`` is B C H W with this network's channels."""
        if image.ndim != 4 or image.shape[1] != self.in_channels:
            raise ValueError(f"image must be B {self.in_channels} H W, got shape {list(image.shape)}.")


# functions, because TorchScript, in which a network is exported, cannot call what a method overrides
def pad_to_stride(image: torch.Tensor, stride: int) -> torch.Tensor:
    """``image`` (B C H W) with background at the bottom and right, so that ``stride`` divides its size."""
    below, right = -image.shape[2] % stride, -image.shape[3] % stride
    return F.pad(image, (0, right, 0, below)) if below or right else image


def crop_to_size(image: torch.Tensor, size: list[int] | None) -> torch.Tensor:
    """The top left of ``image`` (B C H W) in ``size`` (H, W); None for all of it."""
    return image if size is None else image[..., : size[0], : size[1]]


class VQVAE(VectorQuantizedAutoencoder):
    """The architecture of the original COMP3710 report: strided convolutions down, transposed ones up.

    Every encoder layer halves the grid and every decoder layer doubles it: the stride is 2 ** len(encoder_channels).
    With the defaults it has 1,150,721 parameters and gives 32x32 codes for 256x256 pixels.

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
        ValueError: if encoder and decoder have different numbers of layers.
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
        if len(encoder_channels) != len(decoder_channels):
            raise ValueError(
                f"encoder_channels {tuple(encoder_channels)} and decoder_channels {tuple(decoder_channels)} "
                "must have the same length: every halving is undone by a doubling."
            )
        encoder: list[nn.Module] = []
        for before, after in pairwise((in_channels, *encoder_channels)):
            encoder += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        encoder.append(nn.Conv2d(encoder_channels[-1], embedding_dim, 1))
        quantizer = VectorQuantizer(num_embeddings, embedding_dim, **quantizer_kwargs)
        decoder: list[nn.Module] = []
        for before, after in pairwise((embedding_dim, *decoder_channels)):
            decoder += [nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1), nn.ReLU()]
        decoder.append(nn.Conv2d(decoder_channels[-1], out_channels, 3, padding=1))
        super().__init__(
            nn.Sequential(*encoder), nn.Sequential(*decoder), quantizer, in_channels, 2 ** len(encoder_channels)
        )
