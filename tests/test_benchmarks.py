"""What benchmarks/reconstruction.py compares is measured alike, and only what was trained to its end."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from monai.networks import nets

from monai_vqoasis.errors import InputError
from monai_vqoasis.evaluation import SliceSet, code_slices
from monai_vqoasis.losses import VQVAELoss
from tests.conftest import REPOSITORY

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
    from reconstruction import read_entry

    vqvae = read_entry(name).get_parsed_content("network_def")
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


class InterruptedLoss(VQVAELoss):
    """Ctrl-C in every step."""

    def forward(self, *args, **kwargs):
        signal.raise_signal(signal.SIGINT)
        return super().forward(*args, **kwargs)


def test_a_stopped_benchmark_has_no_result(dataset_dir, tmp_path):
    script = [sys.executable, REPOSITORY / "benchmarks" / "reconstruction.py", "--entries", "original", "--epochs", "2"]
    settings = {
        "roi_size": [32, 40],
        "batch_size": 2,
        "loss": {"_target_": "tests.test_benchmarks.InterruptedLoss"},
    }
    result = subprocess.run(
        [*script, "--dataset_dir", dataset_dir, "--output_dir", tmp_path, "--set", json.dumps(settings)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert result.returncode in (130, -signal.SIGINT), result.stderr
    assert result.stderr.splitlines()[-1] == "stopped."
    assert (tmp_path / "original" / "checkpoint.pt").is_file()
    assert not (tmp_path / "original" / "result.json").exists()


@pytest.mark.parametrize(
    "other", [{"epochs": 3}, {"seed": 1}, {"amp": True}, {"settings": {"learning_rate": 1.0}}, {"dataset_dir": "other"}]
)
def test_a_result_is_not_taken_for_that_of_another_training(other, tmp_path, monkeypatch):
    import trainings

    trained = []
    monkeypatch.setattr(trainings, "train", lambda configs, settings, folder, arguments: trained.append(folder.name))
    given = {"dataset_dir": "data", "epochs": 2, "seed": 0, "amp": False, "settings": {}, "output_dir": "results"}

    def run(**arguments):
        arguments = argparse.Namespace(**{**given, **arguments}, entries=["original"])
        arguments.dataset_dir, arguments.output_dir = (
            tmp_path / path for path in (arguments.dataset_dir, arguments.output_dir)
        )
        trainings.run_entries({"original": ([], {})}, ["psnr"], lambda *_: {"psnr": float(len(trained))}, arguments)

    run()
    run()
    assert len(trained) == 1
    (name,) = other
    with pytest.raises(InputError, match=f"original/arguments.json: is of a training with another {name}; name"):
        run(**other)
    run(**other, output_dir="others")
    assert len(trained) == 2
