from __future__ import annotations

import pytest
import torch

from monai_vqoasis.errors import InputError
from monai_vqoasis.networks import VQVAE, CodePrior, MaskedConv2d, PixelCNN
from tests.networks.test_vqvae import SMALL


@pytest.mark.parametrize(("kernels", "slope"), [([("A", 7), ("B", 3)], 4), ([("A", 3), ("B", 5)], 3), ([("B", 1)], 0)])
def test_the_slope_is_the_smallest_that_the_masks_allow(kernels, slope):
    prior = CodePrior(2)
    prior.layers = torch.nn.ModuleList(MaskedConv2d(1, 1, size, mask_type) for mask_type, size in kernels)
    assert prior.slope == slope
    taps = [tap for conv in prior.layers for tap in conv.taps() if tap != (0, 0)]
    assert all(c + slope * r < 0 for r, c in taps)
    assert not taps or any(c + (slope - 1) * r >= 0 for r, c in taps)
    wave = prior.wave((3, 5))
    assert wave.shape == (3, 5)
    assert wave[2, 3] == 3 + 2 * slope


def test_a_prior_knows_its_codebook():
    vqvae, other = VQVAE(**SMALL), VQVAE(**SMALL)
    prior = PixelCNN(num_embeddings=16, channels=8, hidden_channels=4, num_blocks=1)
    with pytest.raises(InputError, match="knows no codebook"):
        prior.check_paired_with(vqvae)
    loaded = PixelCNN(num_embeddings=16, channels=8, hidden_channels=4, num_blocks=1)
    loaded.load_state_dict(prior.pair_with(vqvae, (5, 7)).state_dict())
    loaded.check_paired_with(vqvae)
    assert loaded.latent_shape.tolist() == [5, 7]
    with pytest.raises(InputError, match="another codebook"):
        loaded.check_paired_with(other)
    with pytest.raises(InputError, match=r"16 codes.* has 8"):
        loaded.check_paired_with(VQVAE(**{**SMALL, "num_embeddings": 8}))
