"""The discrete language of brain slices: VQ-VAE and autoregressive prior for MONAI."""

__version__ = "0.5.4"
