"""Transforms: the array version and its dictionary twin."""

from monai_vqoasis.transforms.array import LoadSlice, SaveSlice
from monai_vqoasis.transforms.dictionary import LoadSliced, OrientVolumed, SaveSliced

__all__ = ["LoadSlice", "LoadSliced", "OrientVolumed", "SaveSlice", "SaveSliced"]
