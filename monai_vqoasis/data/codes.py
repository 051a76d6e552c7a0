"""Codes of slices as a dataset for stage 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch.utils.data import Dataset

from monai_vqoasis.errors import InputError

__all__ = ["CodeDataset"]


class CodeDataset(Dataset):
    """Codes of slices in several variants (of the slice shifted or mirrored before it was encoded), one at a time.

    Args:
        variants: for each variant one item a slice, as :func:`monai_vqoasis.inferers.encode_slices` makes them, the
            slices in the same order.
        cdr: dementia rating of each case, see :func:`monai_vqoasis.data.load_cdr`: items then have ``cdr``, -1 where
            the case has none.
        seed: of the choice among variants.
        slice_positions: how many the prior knows; None where it is not told of any.
        latent_shape: size (h, w) of the grids that the prior is paired with; None for any.

    Attributes:
        epoch: set by the trainer when an epoch starts. Which variant of a slice is seen depends on seed, epoch and
            index alone.

    Raises:
        InputError: if there is no variant, they hold different numbers of slices, or a slice has a position or a grid
            that the prior does not know.
    """

    def __init__(
        self,
        variants: Sequence[Sequence[Mapping[str, object]]],
        cdr: Mapping[str, int] | None = None,
        seed: int = 0,
        slice_positions: int | None = None,
        latent_shape: Sequence[int] | None = None,
    ) -> None:
        if not variants or any(len(variant) != len(variants[0]) for variant in variants):
            raise InputError("CodeDataset needs at least one variant, and all of the same slices.")
        for item in variants[0]:
            if slice_positions is not None and item["slice_index"] >= slice_positions:
                raise InputError(
                    f"{item['case']} has slice_index {item['slice_index']}, the prior knows {slice_positions} "
                    "positions: set slice_index in the conditions of network_def."
                )
            if latent_shape is not None and tuple(item["codes"].shape) != tuple(latent_shape):
                raise InputError(
                    f"slices have grids of {list(item['codes'].shape)} codes, roi_size gives {list(latent_shape)}: "
                    "set roi_size to no more than the slices have."
                )
        self.variants = variants
        self.cdr = cdr
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.variants[0])

    def __getitem__(self, index: int) -> dict[str, object]:
        random = np.random.SeedSequence((self.seed, self.epoch, index)).generate_state(1)[0]
        item = dict(self.variants[random % len(self.variants)][index])
        if self.cdr is not None:
            item["cdr"] = self.cdr.get(item["case"], -1)
        return item
