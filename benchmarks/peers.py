"""Networks to compare with, behind this project's interface, so that the same config trains them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.networks import nets
from monai.networks.layers.vector_quantizer import EMAQuantizer
from torch import nn

from monai_vqoasis.networks import (
    ResidualVQVAE,
    VectorQuantizedAutoencoder,
    VectorQuantizer,
    VectorQuantizerOutput,
)

__all__ = ["MONAIVQVAE", "CosineVQVAE", "LucidrainsVQVAE"]


class MONAIQuantizer(nn.Module):
    """The quantiser of MONAI's ``VQVAE``.

    Args:
        quantizer: its ``EMAQuantizer``.
    """

    def __init__(self, quantizer: EMAQuantizer) -> None:
        super().__init__()
        self.num_embeddings = quantizer.num_embeddings
        self.quantizer = quantizer

    def encode(self, encoding: torch.Tensor) -> torch.Tensor:
        return self(encoding).codes

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return self.quantizer.embed(codes)

    def forward(self, encoding: torch.Tensor) -> VectorQuantizerOutput:
        quantized, loss, codes = self.quantizer(encoding)
        return VectorQuantizerOutput(quantized, codes, loss)


class MONAIVQVAE(VectorQuantizedAutoencoder):
    """MONAI's ``VQVAE``, of stride 8 as its defaults are.

    Args:
        kwargs: its arguments.
    """

    def __init__(self, **kwargs: object) -> None:
        network = nets.VQVAE(spatial_dims=2, in_channels=1, out_channels=1, **kwargs)
        quantizer = MONAIQuantizer(network.quantizer.quantizer)
        super().__init__(network.encoder, network.decoder, quantizer, in_channels=1, stride=8)


class LucidrainsQuantizer(nn.Module):
    """``VectorQuantize`` of vector-quantize-pytorch.

    Args:
        num_embeddings: its ``codebook_size``.
        embedding_dim: its ``dim``.
        kwargs: further arguments of it.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, **kwargs: object) -> None:
        from vector_quantize_pytorch import VectorQuantize

        super().__init__()
        self.num_embeddings = num_embeddings
        self.quantizer = VectorQuantize(embedding_dim, num_embeddings, accept_image_fmap=True, **kwargs)

    def encode(self, encoding: torch.Tensor) -> torch.Tensor:
        return self(encoding).codes

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return self.quantizer.get_output_from_indices(codes)

    def forward(self, encoding: torch.Tensor) -> VectorQuantizerOutput:
        quantized, codes, loss = self.quantizer(encoding)
        return VectorQuantizerOutput(quantized, codes, loss.sum())


class LucidrainsVQVAE(ResidualVQVAE):
    """The encoder and decoder of :class:`ResidualVQVAE` around :class:`LucidrainsQuantizer`.

    Args:
        num_embeddings: number of codes.
        embedding_dim: length of a code.
        quantizer_kwargs: arguments of ``VectorQuantize``.
        kwargs: arguments of :class:`ResidualVQVAE`.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, quantizer_kwargs: dict[str, object], **kwargs: object
    ) -> None:
        super().__init__(num_embeddings=num_embeddings, embedding_dim=embedding_dim, **kwargs)
        self.quantizer = LucidrainsQuantizer(num_embeddings, embedding_dim, **quantizer_kwargs)


class UnitLength(nn.Module):
    """Vectors (B D H W) of unit length at each position, float32."""

    def forward(self, encoding: torch.Tensor) -> torch.Tensor:
        return F.normalize(encoding.float(), dim=1)


class CosineQuantizer(VectorQuantizer):
    """:class:`VectorQuantizer` of vectors of unit length: codes have it too, the nearest has the largest cosine."""

    @torch.no_grad()
    def _update(self, flat: torch.Tensor, flat_codes: torch.Tensor) -> None:
        super()._update(flat, flat_codes)
        self.embedding.copy_(F.normalize(self.embedding, dim=1))  # a mean of unit vectors is shorter


class CosineVQVAE(ResidualVQVAE):
    """:class:`ResidualVQVAE` with codes looked up by cosine.

    Yu et al. 2022, "Vector-quantized Image Modeling with Improved VQGAN" (https://arxiv.org/abs/2110.04627), section
    3.2.

    Args:
        kwargs: arguments of :class:`ResidualVQVAE`.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.encoder.append(UnitLength())
        self.quantizer = CosineQuantizer(self.quantizer.num_embeddings, self.quantizer.embedding_dim)
