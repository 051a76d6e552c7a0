from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from monai_vqoasis.errors import InputError
from monai_vqoasis.evaluation import code_slices, evenly_spread, load_pictures, load_reconstructions, load_slices
from monai_vqoasis.networks import VQVAE

SMALL = {"encoder_channels": (4, 8, 8), "decoder_channels": (8, 8, 4), "num_embeddings": 16, "embedding_dim": 8}


def test_pixels_are_those_of_the_files_in_natural_order(dataset_dir):
    slices = load_slices(dataset_dir, "train")
    assert type(slices.pixels) is torch.Tensor
    assert list(dict.fromkeys(slices.cases)) == ["case_001", "case_002", "case_010"]
    for pixels, case, index in zip(slices.pixels, slices.cases, slices.slice_indices, strict=True):
        path = dataset_dir / "keras_png_slices_train" / f"{case}_slice_{index}.nii.png"
        assert np.array_equal(pixels[0].numpy(), np.asarray(Image.open(path)))
    assert torch.equal(slices.images([1]), slices.pixels[1:2] / 255)


def test_a_slice_through_the_codes_is_the_networks_reconstruction(dataset_dir):
    vqvae = VQVAE(**SMALL)
    slices = load_slices(dataset_dir, "train")
    coded = code_slices(vqvae, slices, batch_size=4)
    assert torch.equal(coded.codes, vqvae.encode(slices.images()))
    expected = vqvae(slices.images()).clamp(0, 1)
    assert (coded.reconstructions.images() - expected).abs().max() <= 0.5 / 255 + 1e-6


def test_outside_the_middle_nothing_is_coded(dataset_dir):
    vqvae = VQVAE(**SMALL)
    slices = load_slices(dataset_dir, "test")
    coded = code_slices(vqvae, slices, latent_shape=(3, 4))
    middle = slices.images()[..., 8:32, 8:40]
    assert torch.equal(coded.codes, vqvae.encode(middle))
    assert type(coded.codes) is type(coded.reconstructions.pixels) is torch.Tensor
    assert coded.reconstructions.pixels.shape == slices.pixels.shape
    outside = coded.reconstructions.pixels.clone()
    outside[..., 8:32, 8:40] = 0
    assert not outside.any()
    expected = vqvae(middle).clamp(0, 1)
    assert (coded.reconstructions.images()[..., 8:32, 8:40] - expected).abs().max() <= 0.5 / 255 + 1e-6


def test_reconstructions_of_any_method_are_found_by_name(dataset_dir):
    slices = load_slices(dataset_dir, "test")
    folder = dataset_dir / "keras_png_slices_test"
    assert torch.equal(load_reconstructions(folder, slices).pixels, slices.pixels)
    assert torch.equal(load_pictures(folder, (40, 48)).pixels, slices.pixels)
    (folder / "case_004_slice_1.nii.png").unlink()
    with pytest.raises(InputError, match=r"case_004_slice_1\.nii\.png: no such file"):
        load_reconstructions(folder, slices)
    with pytest.raises(InputError, match=r"case_004_slice_0\.nii\.png: \(40, 48\) pixels.*\(48, 40\)"):
        load_pictures(folder, (48, 40))


def test_a_subset_is_evenly_spread():
    assert evenly_spread(5, None) == [0, 1, 2, 3, 4]
    assert evenly_spread(9, 3) == [0, 4, 8]
    assert evenly_spread(2, 10) == [0, 1]


def test_a_subset_keeps_pixels_and_people_together(dataset_dir):
    slices = load_slices(dataset_dir, "train")
    part = slices.subset([4, 0])
    assert torch.equal(part.pixels, slices.pixels[[4, 0]])
    assert (part.cases, part.slice_indices) == (["case_002", "case_001"], [1, 0])
