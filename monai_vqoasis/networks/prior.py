"""What every stage 2 is: a distribution over grids of the codes of one VQ-VAE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from monai_vqoasis.errors import InputError
from monai_vqoasis.networks.masked_conv import MaskedConv2d
from monai_vqoasis.networks.vector_quantizer import codebook_fingerprint
from monai_vqoasis.networks.vqvae import VectorQuantizedAutoencoder

__all__ = ["CodePrior"]


class CodePrior(nn.Module):
    """Autoregressive distribution p(codes) = prod_i p(code_i | codes before i) over grids of codes.

    A subclass maps codes (int64, B H W) to logits (B K H W), those of a position from codes before it alone. "Before"
    is a matter of waves: the position in column c of the i-th row to be scanned (:meth:`scan_order`) belongs to wave
    c + s i, with :attr:`slope` s, and sees earlier waves only, so that the positions of a wave can be drawn together
    (``WavefrontSampler``). With s at least the width of the grid a wave is one position; with rows scanned from the
    top that is raster order.

    A trained prior knows its codebook: ``latent_shape`` and ``codebook_fingerprint`` are buffers that
    :meth:`pair_with` fills, that save and load with the weights, and that :meth:`check_paired_with` compares.

    A prior may have conditions, integers that are known of a slice: its forward pass takes those of a batch by name
    (int64, B, -1 where not known).

    Args:
        num_embeddings: number of codes K.
        conditions: number of values of each condition, by name.
    """

    def __init__(self, num_embeddings: int, conditions: Mapping[str, int] | None = None) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.condition_values = dict(conditions or {})
        self.register_buffer("latent_shape", torch.zeros(2, dtype=torch.int64))
        self.register_buffer("codebook_fingerprint", torch.zeros(32, dtype=torch.uint8))

    @property
    def slope(self) -> int:
        """Smallest s for which every tap of every mask lies in an earlier wave, or is the position itself."""
        taps = [tap for module in self.modules() if isinstance(module, MaskedConv2d) for tap in module.taps()]
        return max((c // -r + 1 for r, c in taps if r < 0), default=0)

    def scan_order(self, height: int, device: torch.device | str | None = None) -> torch.Tensor:
        """Rows of a grid in the order in which they are scanned: int64, H; here from the top."""
        return torch.arange(height, device=device)

    def wave(self, shape: Sequence[int], device: torch.device | str | None = None) -> torch.Tensor:
        """Wave of each position of a grid of ``shape`` (H, W): int64, H W."""
        height, width = shape
        rank = self.scan_order(height, device).argsort()
        return torch.arange(width, device=device) + self.slope * rank.unsqueeze(1)

    def check_condition_names(self, names: Iterable[str]) -> None:
        """Raise InputError, naming it, for a condition that this prior has not."""
        for name in names:
            if name not in self.condition_values:
                known = ", ".join(self.condition_values) or "none"
                raise InputError(f"this prior has no condition {name}; it has {known}.")

    def trained_values(self, name: str) -> list[int]:
        """The values of a condition that training has seen, as far as this prior can tell; here all."""
        return list(range(self.condition_values[name]))

    def check_conditions(self, conditions: Mapping[str, int]) -> None:
        """Make sure that this prior knows ``conditions``, names with values (-1 where not known).

        Raises:
            InputError: naming the condition that it has not, or the values that it was trained on.
        """
        self.check_condition_names(conditions)
        for name, value in conditions.items():
            trained = self.trained_values(name)
            if value != -1 and not trained:
                raise InputError(f"this prior was trained on slices whose {name} was not known; leave it out.")
            if value != -1 and value not in trained:
                many = len(trained) > 2 and trained == list(range(trained[0], trained[-1] + 1))
                values = f"{trained[0]} to {trained[-1]}" if many else " or ".join(map(str, trained))
                raise InputError(f"{name} must be {values}, which this prior was trained on, got {value}.")

    def pair_with(self, vqvae: VectorQuantizedAutoencoder, latent_shape: Sequence[int]) -> CodePrior:
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
