"""How a trained network is used."""

from monai_vqoasis.inferers.anomaly import AnomalyInferer
from monai_vqoasis.inferers.calibration import (
    ANOMALY_METHODS,
    AnomalyCalibration,
    PositionStatistics,
    load_calibration,
)
from monai_vqoasis.inferers.codes import encode_slices, encode_variants
from monai_vqoasis.inferers.likelihood import bits_per_code
from monai_vqoasis.inferers.reconstruction import ReconstructionInferer
from monai_vqoasis.inferers.sampling import AncestralSampler, draw_codes
from monai_vqoasis.inferers.wavefront import WavefrontSampler
from monai_vqoasis.inferers.wavefront_layers import plan_layer

__all__ = [
    "ANOMALY_METHODS",
    "AncestralSampler",
    "AnomalyCalibration",
    "AnomalyInferer",
    "PositionStatistics",
    "ReconstructionInferer",
    "WavefrontSampler",
    "bits_per_code",
    "draw_codes",
    "encode_slices",
    "encode_variants",
    "load_calibration",
    "plan_layer",
]
