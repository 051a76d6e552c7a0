"""Networks, in plain PyTorch."""

from monai_vqoasis.networks.gated_pixelcnn import GatedPixelCNN
from monai_vqoasis.networks.masked_conv import MaskedCodeConv2d, MaskedConv2d
from monai_vqoasis.networks.pixelcnn import PixelCNN
from monai_vqoasis.networks.prior import CodePrior
from monai_vqoasis.networks.recorded_settings import RecordsSettings
from monai_vqoasis.networks.residual import ResidualVQVAE
from monai_vqoasis.networks.vector_quantizer import VectorQuantizer, VectorQuantizerOutput
from monai_vqoasis.networks.vqvae import VQVAE, VectorQuantizedAutoencoder, VQVAEOutput
from monai_vqoasis.networks.weights import load_prior, load_tensors, load_weights, save_tensors

__all__ = [
    "VQVAE",
    "CodePrior",
    "GatedPixelCNN",
    "MaskedCodeConv2d",
    "MaskedConv2d",
    "PixelCNN",
    "RecordsSettings",
    "ResidualVQVAE",
    "VQVAEOutput",
    "VectorQuantizedAutoencoder",
    "VectorQuantizer",
    "VectorQuantizerOutput",
    "load_prior",
    "load_tensors",
    "load_weights",
    "save_tensors",
]
