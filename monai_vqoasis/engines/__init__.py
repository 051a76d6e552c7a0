"""Ignite engines on MONAI's."""

from monai_vqoasis.engines.export import OnnxExporter, OnnxNetwork
from monai_vqoasis.engines.generation import SliceGenerator
from monai_vqoasis.engines.prepare import prepare_codes_batch, prepare_image_batch
from monai_vqoasis.engines.trainer import StageTrainer

__all__ = [
    "OnnxExporter",
    "OnnxNetwork",
    "SliceGenerator",
    "StageTrainer",
    "prepare_codes_batch",
    "prepare_image_batch",
]
