"""Training losses."""

from monai_vqoasis.losses.similarity import StructuralSimilarityLoss
from monai_vqoasis.losses.vqvae import VQVAELoss

__all__ = ["StructuralSimilarityLoss", "VQVAELoss"]
