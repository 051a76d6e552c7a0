"""Further terms of stage 1's loss, to be tried by ``reconstruction.py``; run by itself, how much each of them pulls.

    python benchmarks/losses.py [--dataset_dir <dataset_dir>]

prints the length of each term's gradient by the reconstruction over that of the mean squared error, for an untrained
network and for the shipped weights, and what a term costs forward and back: processor seconds over those of MONAI's
``SSIMLoss``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from monai.losses import JukeboxLoss, SSIMLoss
from monai.transforms import CenterSpatialCrop
from torch import nn
from trainings import CONFIGS, SHIPPED_VQVAE

from monai_vqoasis.evaluation import evenly_spread, load_slices
from monai_vqoasis.losses import StructuralSimilarityLoss
from monai_vqoasis.metrics import EfficientNetLiteFeatures
from monai_vqoasis.networks import ResidualVQVAE, load_weights

__all__ = ["GradientLoss", "PerceptualLoss"]


class GradientLoss(nn.Module):
    """Mean absolute difference of the differences between neighbouring pixels, summed over both directions.

    Mathieu et al. 2016, "Deep multi-scale video prediction beyond mean square error"
    (https://arxiv.org/abs/1511.05440), equation 6, here with the differences' signs.
    """

    def forward(self, reconstruction: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Scalar of two images B C H W."""
        error = reconstruction - image
        return error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()


class PerceptualLoss(nn.Module):
    """Mean squared distance of features of EfficientNet-Lite0, of unit length at each position, summed over layers.

    Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric"
    (https://arxiv.org/abs/1801.03924), equation 1, without learned weights. What it knows is what KID is measured with:
    a gain in KID is in part the measure's own.

    Args:
        blocks: after which blocks of the network features are compared; the defaults are the last at a half, a quarter
            and an eighth of the size.
    """

    def __init__(self, blocks: tuple[int, ...] = (0, 2, 4)) -> None:
        super().__init__()
        self.extractor = EfficientNetLiteFeatures()
        self.blocks = blocks

    def features(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Of ``image`` (B 1 H W): for each layer B C h w, of unit length at each position."""
        network = self.extractor.to(image.device).network
        x = network._swish(network._bn0(network._conv_stem(self.extractor.preprocess(image))))
        found = []
        for number, block in enumerate(network._blocks[: max(self.blocks) + 1]):
            x = block(x)
            if number in self.blocks:
                found.append(F.normalize(x.float(), dim=1))
        return found

    def forward(self, reconstruction: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Scalar of two images B 1 H W."""
        with torch.no_grad():
            wanted = self.features(image)
        pairs = zip(self.features(reconstruction), wanted, strict=True)
        return sum((a - b).square().sum(1).mean() for a, b in pairs)


def cost(term: nn.Module, reconstruction: torch.Tensor, images: torch.Tensor) -> float:
    """Processor seconds of a term forward and back, the least of five times."""
    seconds = []
    for _ in range(5):
        start = time.process_time()
        torch.autograd.grad(term(reconstruction, images), reconstruction)
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", type=Path, default=CONFIGS.parent / "data" / "demo_cohort")
    slices = load_slices(parser.parse_args().dataset_dir, "validate")
    field_of_view = SHIPPED_VQVAE["field_of_view"]
    images = CenterSpatialCrop((-1, *field_of_view))(slices.images(evenly_spread(len(slices), 8)))
    torch.manual_seed(0)
    untrained = ResidualVQVAE(field_of_view=field_of_view)
    trained = load_weights(ResidualVQVAE(field_of_view=field_of_view), CONFIGS.parent / "models" / "model.pt")
    terms = {
        "mse": nn.MSELoss(),
        "l1": nn.L1Loss(),
        "gradient": GradientLoss(),
        "frequency": JukeboxLoss(spatial_dims=2),
        "ssim": StructuralSimilarityLoss(),
        "monai ssim": SSIMLoss(spatial_dims=2),
        "perceptual": PerceptualLoss(),
    }
    columns = ("untrained", "ratio", "trained", "ratio", "cost")
    print(f"{'term':>12}" + "".join(f"{column:>18}" for column in columns))
    reconstruction = trained(images).detach().requires_grad_()
    unit = cost(terms["monai ssim"], reconstruction, images)
    lengths: dict[str, float] = {}
    for name, term in terms.items():
        row = []
        for which, vqvae in (("untrained", untrained), ("trained", trained)):
            reconstruction = vqvae(images).detach().requires_grad_()
            value = term(reconstruction, images)
            length = float(torch.autograd.grad(value, reconstruction)[0].norm())
            row += [value.item(), length / lengths.setdefault(which, length)]
        row.append(cost(term, reconstruction, images) / unit)
        print(f"{name:>12}" + "".join(f"{number:>18.4g}" for number in row))


if __name__ == "__main__":
    main()
