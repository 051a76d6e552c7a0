from __future__ import annotations

import math
import sys

import pytest
import torch

from monai_vqoasis.errors import InputError, MissingPackageError
from monai_vqoasis.metrics.anatomy import brain_area, left_right_symmetry, ventricle_fraction, wasserstein


def ellipse(centre=(60.0, 70.0), radii=(30.0, 40.0), size=(128, 144)):
    rows, columns = torch.meshgrid(*(torch.arange(float(n)) for n in size), indexing="ij")
    return ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 < 1


def brain(centre=(60.0, 70.0)):
    """Textured, and its upper half unlike its lower one."""
    texture = 0.5 + 0.3 * torch.rand(1, 1, 128, 144)
    return texture * ellipse(centre)


def mirrored(image, twice_axis):
    """The half above the axis, and its mirror image below it."""
    rows = torch.arange(image.shape[2])
    source = torch.minimum(rows, twice_axis - rows)
    return image[:, :, source.clamp_min(0)] * (source >= 0).view(-1, 1)


def test_brain_area_is_the_share_of_pixels():
    image = torch.zeros(2, 1, 100, 100)
    image[0, :, 20:60, 30:80] = 0.5
    assert brain_area(image).tolist() == pytest.approx([0.2, 0])


@pytest.mark.parametrize("twice_axis", [120, 121, 117])
def test_symmetry_is_one_for_a_mirrored_slice_wherever_its_axis(twice_axis):
    image = brain()
    assert float(left_right_symmetry(mirrored(image, twice_axis))) == pytest.approx(1, abs=1e-5)
    assert float(left_right_symmetry(image)) < 0.5


def test_front_and_back_need_not_be_alike():
    image = mirrored(brain(), 120)
    assert float(left_right_symmetry(image.transpose(2, 3))) < 0.9
    noisy = (image + 0.1 * torch.randn_like(image) * (image > 0)).clamp(0, 1)
    assert 0.3 < float(left_right_symmetry(noisy)) < 0.95


def test_symmetry_of_a_slice_does_not_depend_on_its_batch():
    batch = torch.cat([brain((50.0, 60.0)), mirrored(brain((70.0, 80.0)), 140), torch.zeros(1, 1, 128, 144)])
    together = left_right_symmetry(batch)
    alone = torch.cat([left_right_symmetry(image[None]) for image in batch])
    torch.testing.assert_close(together, alone, equal_nan=True)
    assert math.isnan(together[2])


def test_ventricles_are_dark_pixels_in_the_middle():
    image = 0.6 * ellipse().float()[None, None]
    assert float(ventricle_fraction(image)) == 0
    area = float(ellipse().sum())
    for radius in (4.0, 9.0):  # dark as fluid, or black and wider than what the mask closes
        for value in (0.15, 0.0):
            hole = ellipse((60.0, 70.0), (radius, radius))
            with_hole = torch.where(hole, torch.tensor(value), image)
            assert float(ventricle_fraction(with_hole)) == pytest.approx(
                float(hole.sum()) / area, rel=0.35 if not value else 0.02
            )
    outside = torch.where(ellipse((60.0, 102.0), (5.0, 5.0)), torch.tensor(0.15), image)
    assert float(ventricle_fraction(outside)) == 0
    assert float(ventricle_fraction(with_hole / 2)) == pytest.approx(float(ventricle_fraction(with_hole)))
    assert math.isnan(ventricle_fraction(torch.zeros(1, 1, 64, 64))[0])


def test_a_given_mask_is_used():
    image = brain()
    mask = ellipse(radii=(20.0, 20.0))[None, None]
    assert float(brain_area(image, mask)) == pytest.approx(float(mask.float().mean()))
    assert float(left_right_symmetry(mirrored(image, 120), mask)) == pytest.approx(1, abs=1e-5)
    dark = torch.where(ellipse(radii=(5.0, 5.0)), torch.tensor(0.1), image)
    assert float(ventricle_fraction(dark, mask)) > 2 * float(ventricle_fraction(dark))


def test_wasserstein_of_a_shift_is_the_shift():
    reference = torch.tensor([1.0, 2, 3, 4, float("nan")])
    result = wasserstein(reference + 0.5, reference)
    assert result.distance == pytest.approx(0.5)
    assert result.normalised == pytest.approx(0.5 / math.sqrt(1.25))
    assert math.isnan(wasserstein([], reference).distance)
    assert math.isnan(wasserstein([1.0], [2.0, 2.0]).normalised)


def test_missing_scipy_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(MissingPackageError, match=r'pip install "monai_vqoasis\[evaluation\]"'):
        wasserstein([1.0], [2.0])


def test_images_must_be_slices():
    with pytest.raises(InputError, match="B 1 H W"):
        brain_area(torch.zeros(1, 3, 8, 8))
