"""Training losses."""

from monai_vqoasis.losses.vqvae import VQVAELoss

__all__ = ["VQVAELoss"]
