"""The weights that are shipped."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from monai.bundle import ConfigParser

from monai_vqoasis.data import OASISSliceDataset
from monai_vqoasis.engines import OnnxExporter, OnnxNetwork
from monai_vqoasis.inferers import AncestralSampler, WavefrontSampler, bits_per_code
from monai_vqoasis.metrics import psnr
from monai_vqoasis.metrics.anatomy import brain_area, left_right_symmetry
from monai_vqoasis.networks import load_weights
from monai_vqoasis.transforms import LoadSliced
from tests.conftest import CONFIGS

MODELS = CONFIGS.parent / "models"


@pytest.fixture(scope="module")
def pair():
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "generate.json"))
    vqvae = load_weights(parser.get_parsed_content("network_def"), MODELS / "model.pt")
    prior = load_weights(parser.get_parsed_content("prior_def"), MODELS / "model_prior.pt")
    return vqvae, prior


def test_files_are_those_that_are_described():
    described = json.loads((MODELS / "training.json").read_text())
    for name in ("model.pt", "model_prior.pt", "calibration.pt"):
        file = MODELS / name
        assert file.stat().st_size < 25e6
        assert hashlib.sha256(file.read_bytes()).hexdigest() == described[name]["sha256"]
        state = torch.load(file, weights_only=True)
        assert all(isinstance(value, torch.Tensor) for value in state.values())


@torch.no_grad()
def test_they_belong_together_and_draw_symmetric_brains(pair):
    vqvae, prior = pair
    prior.check_paired_with(vqvae)
    seeds = range(4)
    codes = WavefrontSampler()(prior, prior.latent_shape.tolist(), seeds, conditions={"slice_index": [20] * 4})
    image = vqvae.decode(codes, (256, 256))
    assert image[..., :20, :].max() == 0
    assert ((brain_area(image) > 0.2) & (brain_area(image) < 0.4)).all()
    assert (left_right_symmetry(image) > 0.5).all()
    noise = vqvae.decode(torch.randint(256, codes.shape), (256, 256))
    assert (left_right_symmetry(noise) < 0.3).all()


def test_the_prior_knows_what_it_was_trained_on(pair):
    _, prior = pair
    assert prior.trained_values("slice_index") == list(range(26))
    assert prior.trained_values("cdr") == [0, 1, 2, 3]


def test_waves_draw_the_codes_of_the_plain_loop(pair):
    _, prior = pair
    conditions = {"slice_index": [seed % 26 for seed in range(64)], "cdr": [seed % 4 - 1 for seed in range(64)]}
    plain = AncestralSampler()(prior, (6, 9), range(64), conditions=conditions)
    assert torch.equal(WavefrontSampler()(prior, (6, 9), range(64), conditions=conditions), plain)
    assert len(plain.unique(dim=0)) == 64


@pytest.fixture(scope="module")
def real(oasis_dir):
    dataset = OASISSliceDataset(oasis_dir, "validate", LoadSliced("image"), cache_rate=0.0)
    return torch.stack([torch.as_tensor(dataset[i]["image"]) for i in range(0, len(dataset), 29)])


@torch.no_grad()
def test_real_slices_come_back_and_are_likely(pair, real):
    vqvae, prior = pair
    codes = vqvae.encode(real)
    assert psnr(vqvae.decode(codes, (256, 256)), real).mean() > 33
    bits = bits_per_code(prior, codes).mean()
    assert bits < 4.8
    assert bits_per_code(prior, codes.flip(2)).mean() > bits + 1  # the same codes back to front are no brains


@torch.no_grad()
def test_exported_they_give_real_slices_the_same_codes(pair, real, tmp_path):
    vqvae, prior = pair
    codes = vqvae.encode(real)
    assert torch.equal(torch.jit.script(vqvae).encode(real), codes)
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    OnnxExporter(vqvae, prior, tmp_path, real).run()  # raises where a code is another one than a tie's
    differ = (OnnxNetwork(tmp_path / "encoder.onnx")(image=real) != codes).sum()
    assert differ <= 1  # of 16,384: float32 rounds a few in a million to the other of two as near
