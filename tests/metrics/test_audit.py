from __future__ import annotations

import pytest
import torch

from monai_vqoasis.errors import InputError
from monai_vqoasis.evaluation.slices import load_slices
from monai_vqoasis.metrics import ssim
from monai_vqoasis.metrics.audit import reported_ssim

PUBLISHED = {"perfect": 0.9886, "black": 0.9903, "constant": 0.9931, "noise": 0.9645}


def brain_like() -> torch.Tensor:
    """A textured ellipse on black, 1 1 128 128, with the mean and spread of a brain slice."""
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 128), torch.linspace(-1, 1, 128), indexing="ij")
    inside = (rows / 0.65) ** 2 + (columns / 0.55) ** 2 < 1
    texture = 0.5 + 0.25 * torch.sin(14 * rows) * torch.cos(11 * columns)
    return torch.where(inside, texture, 0)[None, None]


def pictures(image: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "perfect": image,
        "black": torch.zeros_like(image),
        "constant": image.mean((1, 2, 3), keepdim=True).expand_as(image),
        "noise": torch.rand_like(image),
    }


def test_by_the_reported_formula_pictures_without_a_brain_beat_a_perfect_copy_and_by_ssim_they_do_not():
    image = brain_like()
    reported = {name: float(reported_ssim(picture, image)) for name, picture in pictures(image).items()}
    assert reported["constant"] > reported["black"] > reported["perfect"] > 0.97
    assert 0.9 < reported["noise"] < reported["perfect"]
    true = {name: float(ssim(picture, image)) for name, picture in pictures(image).items()}
    assert true["perfect"] == pytest.approx(1, abs=1e-5)
    assert max(value for name, value in true.items() if name != "perfect") < 0.9


def test_the_formula_worked_by_hand():
    image = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])  # mean 0.5, standard deviation 0.5
    c1, c2 = 6.5025, 58.5225
    perfect = (0.25 + c2 / 2) / (1 + c2 / 2)
    black = c1 / (0.25 + c1) * c2 / (0.25 + c2) * (c2 / 2) / (0.5 + c2 / 2)
    flipped = (-0.25 + c2 / 2) / (1 + c2 / 2)
    for prediction, value in ((image, perfect), (0 * image, black), (1 - image, flipped)):
        assert float(reported_ssim(prediction, image)) == pytest.approx(value, rel=1e-9)


def test_another_shape_is_refused():
    with pytest.raises(InputError, match="B 1 H W"):
        reported_ssim(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 5))


def test_real_slices_score_what_was_published(oasis_dir):
    """Published for one real slice: each number lies within the spread over the test slices."""
    images = load_slices(oasis_dir, "test").images()
    scores = {name: reported_ssim(picture, images) for name, picture in pictures(images).items()}
    for name, published in PUBLISHED.items():
        assert float(scores[name].min()) - 1e-4 <= published <= float(scores[name].max()) + 1e-4
    assert (scores["black"] > scores["perfect"]).all() and (scores["constant"] > scores["perfect"]).all()
