"""What benchmarks/reconstruction.py compares is measured alike: every network codes slices as ours does."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks import nets

from monai_vqoasis.evaluation import SliceSet, code_slices
from tests.conftest import CONFIGS, REPOSITORY

ENTRIES = (
    "ours", "original", "original_corrected_book", "vector_quantize_pytorch", "monai_tuned", "monai_defaults", "wide",
    "cosine",
)  # fmt: skip


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))


@pytest.mark.parametrize("name", ENTRIES)
def test_codes_of_every_entry_hold_its_reconstructions(name):
    if name == "vector_quantize_pytorch":
        pytest.importorskip("vector_quantize_pytorch")
    from reconstruction import ENTRIES

    configs, settings = ENTRIES[name]
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / config) for config in configs])
    parser.update(settings)
    vqvae = parser.get_parsed_content("network_def")
    slices = SliceSet(torch.randint(256, (1, 1, 256, 256), dtype=torch.uint8), ["case"], [0])
    vqvae(slices.images(), full_output=True)  # initialises books from data
    reconstructions, codes = code_slices(vqvae, slices)
    assert codes.shape == (1, 32, 32)
    assert codes.max() < vqvae.num_embeddings == 256
    output = vqvae(slices.images(), full_output=True)
    assert torch.equal(output.codes, codes)
    assert torch.equal(output.reconstruction.clamp(0, 1).mul(255).round().byte(), reconstructions.pixels)


@pytest.mark.parametrize("training", [True, False])
def test_monai_network_is_monais_own(training):
    from peers import MONAIVQVAE

    small = {"channels": (8, 8, 16), "num_res_channels": (8, 8, 16), "num_res_layers": 1}
    networks = []
    for make in (MONAIVQVAE, lambda **kwargs: nets.VQVAE(2, 1, 1, **kwargs)):
        torch.manual_seed(0)
        networks.append(make(num_embeddings=256, embedding_dim=64, **small).train(training))
    ours, own = networks
    image = torch.rand(2, 1, 64, 72)
    for _ in range(2):  # in training the first pass moves the book
        output, (reconstruction, loss) = ours(image, full_output=True), own(image)
        assert torch.equal(output.reconstruction, reconstruction)
        assert torch.equal(output.quantization_loss, loss)
    ours.eval()
    own.eval()
    codes = own.index_quantize(image)
    assert torch.equal(ours.encode(image), codes)
    assert torch.equal(ours.decode(codes, (64, 72)), own.decode_samples(codes))
