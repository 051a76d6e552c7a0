from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from monai_vqoasis.errors import InputError
from monai_vqoasis.losses import VQVAELoss
from monai_vqoasis.networks import VQVAE

SMALL = {"encoder_channels": (4, 8, 8), "decoder_channels": (8, 8, 4), "num_embeddings": 16, "embedding_dim": 8}


def test_the_original_architecture():
    original = VQVAE(learning="gradient", revival_threshold=0.0)
    assert sum(p.numel() for p in original.parameters()) == 1_150_721
    assert original.latent_shape((256, 256)) == (32, 32)


def test_weights_that_are_not_there_are_an_error_however_they_are_loaded():
    network = VQVAE(**SMALL)
    state = network.state_dict()
    assert network.load_state_dict({**state, "of_somebody_else": torch.zeros(1)}, strict=False).missing_keys == []
    del state["quantizer.embedding"]
    with pytest.raises(InputError, match=r"no weights of this VQVAE: 1 .* the first: quantizer\.embedding"):
        network.load_state_dict(state, strict=False)
    with pytest.raises(RuntimeError, match=r"Missing key.*quantizer\.embedding"):
        network.load_state_dict(state)


def test_forward_is_encode_then_decode():
    network = VQVAE(**SMALL).eval()
    image = torch.rand(2, 1, 40, 56)
    reconstruction = network(image)
    assert isinstance(reconstruction, torch.Tensor)
    assert torch.equal(reconstruction, network.decode(network.encode(image)))
    output = network(image, full_output=True)
    assert torch.equal(output.reconstruction, reconstruction)
    assert torch.equal(output.codes, network.encode(image))
    assert output.codes.shape[1:] == network.latent_shape((40, 56))


def test_other_sizes_are_padded_with_background_and_cropped_back():
    network = VQVAE(**SMALL).eval()
    image = torch.rand(1, 1, 37, 50)
    padded = torch.zeros(1, 1, 40, 56)
    padded[..., :37, :50] = image
    assert torch.equal(network(image), network(padded)[..., :37, :50])
    codes = network.encode(image)
    assert tuple(codes.shape[1:]) == network.latent_shape((37, 50))
    assert torch.equal(network.decode(codes, (37, 50)), network(image))


def test_training_reaches_every_parameter_and_lowers_the_loss():
    network = VQVAE(**SMALL)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    image = torch.zeros(4, 1, 32, 32)
    image[:, :, 8:24, 8:24] = torch.rand(4, 1, 1, 1)
    losses = []
    for _ in range(200):
        loss = VQVAELoss()(network(image, full_output=True), image)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in network.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


def test_wrong_shapes_are_refused_with_a_sentence():
    with pytest.raises(ValueError, match="same length"):
        VQVAE(encoder_channels=(4, 4), decoder_channels=(4,))
    with pytest.raises(ValueError, match=r"B 1 H W.*\[1, 3, 8, 8\]"):
        VQVAE(**SMALL)(torch.rand(1, 3, 8, 8))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's record of peak memory")
def test_a_training_step_at_batch_8_stays_under_2_gb():
    code = """
import torch
from monai_vqoasis.errors import InputError
from monai_vqoasis.losses import VQVAELoss
from monai_vqoasis.networks import VQVAE
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
before = peak()
network = VQVAE(); image = torch.rand(8, 1, 256, 256)
VQVAELoss()(network(image, full_output=True), image).backward()
print(peak() - before)
"""
    used = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 0.1e6 < int(used) < 2e6  # kilobytes
