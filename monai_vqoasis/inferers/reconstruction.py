"""Images through the codes and back."""

from __future__ import annotations

import torch
from monai.inferers import Inferer

from monai_vqoasis.networks import VectorQuantizedAutoencoder
from monai_vqoasis.slices import map_slices

__all__ = ["ReconstructionInferer"]


class ReconstructionInferer(Inferer):
    """Reconstructs slices, and volumes slice by slice, clamped to [0, 1].

    Args:
        slice_batch_size: slices of a volume computed at a time.
    """

    def __init__(self, slice_batch_size: int = 8) -> None:
        super().__init__()
        self.slice_batch_size = slice_batch_size

    @torch.no_grad()
    def __call__(
        self, inputs: torch.Tensor, network: VectorQuantizedAutoencoder, *args: object, **kwargs: object
    ) -> torch.Tensor:
        """Reconstruct ``inputs``.

        Args:
            inputs: B 1 H W, or B 1 H W D whose slices are along the last axis; values in [0, 1].
            network: gives back an image of the same size.
            args: passed on to the network.
            kwargs: passed on to the network.

        Returns:
            Same shape and type as ``inputs``, metadata included.

        Raises:
            ValueError: for another number of dimensions.
        """

        def reconstruct(slices: torch.Tensor) -> torch.Tensor:
            parts = [network(part, *args, **kwargs) for part in slices.split(self.slice_batch_size)]
            return torch.cat(parts).clamp(0, 1)

        return map_slices(inputs, reconstruct)
