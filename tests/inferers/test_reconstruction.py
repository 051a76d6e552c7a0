from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from monai_vqoasis.inferers import ReconstructionInferer
from monai_vqoasis.networks import VQVAE
from tests.networks.test_vqvae import SMALL


def test_a_volume_is_reconstructed_slice_by_slice():
    network = VQVAE(**SMALL).eval()
    volume = torch.rand(2, 1, 19, 24, 5)
    inferer = ReconstructionInferer(slice_batch_size=3)
    output = inferer(volume, network)
    assert output.shape == volume.shape
    for b in range(2):
        for k in range(5):
            expected = network(volume[b : b + 1, ..., k]).clamp(0, 1)
            assert torch.allclose(output[b : b + 1, ..., k], expected, atol=1e-6)


def test_metadata_are_kept_and_values_are_in_range():
    network = VQVAE(**SMALL).eval()
    torch.nn.init.constant_(network.decoder[-1].bias, 5.0)
    image = MetaTensor(torch.rand(1, 1, 16, 16), meta={"filename_or_obj": "a.png"})
    output = ReconstructionInferer()(image, network)
    assert output.meta["filename_or_obj"] == "a.png"
    assert output.max() == 1
    with pytest.raises(ValueError, match="shape"):
        ReconstructionInferer()(torch.rand(1, 16, 16), network)
