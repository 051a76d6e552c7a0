from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_vqoasis.engines import SliceGenerator
from monai_vqoasis.errors import InputError
from monai_vqoasis.inferers import AncestralSampler, WavefrontSampler
from monai_vqoasis.networks import VQVAE, PixelCNN
from tests.networks.test_vqvae import SMALL


def pair(latent_shape=(3, 4)):
    torch.manual_seed(0)
    vqvae = VQVAE(**SMALL).eval()
    prior = PixelCNN(16, channels=8, hidden_channels=4, num_blocks=1).eval()
    prior.pair_with(vqvae, latent_shape)
    return vqvae, prior


def test_files_hold_the_decoded_draws_of_their_seeds_whatever_the_batch(tmp_path):
    vqvae, prior = pair()
    for batch_size in (1, 4):
        out = tmp_path / str(batch_size)
        SliceGenerator(vqvae, prior, WavefrontSampler(), out, 5, batch_size, seed=7, image_size=(40, 32)).run()
        assert {p.name for p in out.iterdir()} == {"generated.png", *(f"generated_seed_{7 + i}.png" for i in range(5))}
    for seed in range(7, 12):
        codes = AncestralSampler()(prior, (3, 4), [seed])
        image = vqvae.decode(codes).clamp(0, 1)[0, 0]
        expected = np.zeros((40, 32), dtype=np.uint8)
        expected[8:32, :] = (image * 255).round().byte()
        for batch_size in (1, 4):
            written = np.asarray(Image.open(tmp_path / str(batch_size) / f"generated_seed_{seed}.png"))
            assert abs(written.astype(int) - expected).max() <= 1


def test_a_prior_of_another_book_and_no_samples_are_refused(tmp_path):
    vqvae, prior = pair()
    with pytest.raises(InputError, match="must be positive"):
        SliceGenerator(vqvae, prior, WavefrontSampler(), tmp_path, num_samples=0)
    with torch.no_grad():
        vqvae.quantizer.embedding.add_(1)
    with pytest.raises(InputError):
        SliceGenerator(vqvae, prior, WavefrontSampler(), tmp_path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's record of peak memory")
def test_memory_does_not_grow_with_the_number_of_samples(tmp_path):
    code = """
import sys
from monai_vqoasis.configuration import keep_freed_memory
from tests.engines.test_generation import *
keep_freed_memory()
vqvae, prior = pair((1, 2))
SliceGenerator(vqvae, prior, WavefrontSampler(), sys.argv[1], int(sys.argv[2]), 32, image_size=(256, 256)).run()
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
    peaks = []
    for number in (64, 448):  # kept, 384 more slices would take 96 MiB
        command = [sys.executable, "-c", code, str(tmp_path / str(number)), str(number)]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        assert len(list((tmp_path / str(number)).glob("generated_seed_*.png"))) == number
    assert peaks[1] - peaks[0] < 40_000  # kilobytes
