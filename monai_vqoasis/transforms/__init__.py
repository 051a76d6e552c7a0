"""Transforms: the array version and its dictionary twin."""

from monai_vqoasis.transforms.anomaly import AnomalyScore, AnomalyScored, anomaly_score
from monai_vqoasis.transforms.array import LoadSlice, SaveSlice, ToViewerAxes
from monai_vqoasis.transforms.dictionary import LoadSliced, OrientVolumed, SaveSliced, ToViewerAxesd

__all__ = [
    "AnomalyScore",
    "AnomalyScored",
    "LoadSlice",
    "LoadSliced",
    "OrientVolumed",
    "SaveSlice",
    "SaveSliced",
    "ToViewerAxes",
    "ToViewerAxesd",
    "anomaly_score",
]
