"""Ignite engines on MONAI's, and what else runs over a whole dataset."""

from monai_vqoasis.engines.calibration import AnomalyCalibrator, select_healthy
from monai_vqoasis.engines.export import OnnxExporter, OnnxNetwork
from monai_vqoasis.engines.generation import SliceGenerator
from monai_vqoasis.engines.located_slices import write_located_slices
from monai_vqoasis.engines.prepare import prepare_codes_batch, prepare_image_batch
from monai_vqoasis.engines.trainer import StageTrainer

__all__ = [
    "AnomalyCalibrator",
    "OnnxExporter",
    "OnnxNetwork",
    "SliceGenerator",
    "StageTrainer",
    "prepare_codes_batch",
    "prepare_image_batch",
    "select_healthy",
    "write_located_slices",
]
