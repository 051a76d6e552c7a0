"""Dictionary twins of the array transforms."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping

from monai.config import KeysCollection
from monai.transforms import MapTransform, Orientationd, SaveImaged

from monai_vqoasis.transforms.array import LoadSlice, SaveSlice, ToViewerAxes

__all__ = ["LoadSliced", "OrientVolumed", "SaveSliced", "ToViewerAxesd"]


class LoadSliced(MapTransform):
    """Dictionary-based wrapper of :class:`LoadSlice`.

    Args:
        keys: keys that hold file names; each is replaced by its image.
        intensity_max: see :class:`LoadSlice`.
        allow_missing_keys: do not raise if a key is missing.
    """

    def __init__(
        self, keys: KeysCollection, intensity_max: float | None = None, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.loader = LoadSlice(intensity_max)

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.loader(d[key])
        return d


class OrientVolumed(Orientationd):
    """MONAI's ``Orientationd`` for volumes (1 H W D); slices, which have no third axis to turn, pass unchanged.

    With ``axcodes="RAS"`` the axial slices of a volume lie as those of the release: anterior to the right.
    """

    def __call__(self, data: Mapping[Hashable, object], lazy: bool | None = None) -> dict[Hashable, object]:
        return super().__call__(data, lazy) if self._is_volume(data) else dict(data)

    def inverse(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        return super().inverse(data) if self._is_volume(data) else dict(data)

    def _is_volume(self, data: Mapping[Hashable, object]) -> bool:
        return all(data[key].ndim == 4 for key in self.key_iterator(data))


class SaveSliced(SaveImaged):
    """Dictionary-based wrapper of :class:`SaveSlice`; adds the file written under ``<key>_path``.

    It is a kind of ``SaveImaged``, so that what leaves that out (MONAI Label, which writes itself) leaves this out.

    Args:
        keys: keys that hold images.
        output_dir: see :class:`SaveSlice`.
        output_postfix: see :class:`SaveSlice`.
        label: see :class:`SaveSlice`.
        allow_missing_keys: do not raise if a key is missing.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | os.PathLike[str],
        output_postfix: str = "reconstruction",
        label: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys=allow_missing_keys)
        self.saver = SaveSlice(output_dir, output_postfix, label)

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[f"{key}_path"] = str(self.saver(d[key]))
        return d


class ToViewerAxesd(MapTransform):
    """Dictionary-based wrapper of :class:`ToViewerAxes`.

    Args:
        keys: keys that hold images.
        allow_missing_keys: do not raise if a key is missing.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.to_viewer = ToViewerAxes()

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.to_viewer(d[key])
        return d
