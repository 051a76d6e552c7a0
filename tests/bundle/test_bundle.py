"""The bundle, run as its users run it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, load
from PIL import Image

from monai_vqoasis.errors import InputError
from monai_vqoasis.networks import ResidualVQVAE
from tests.conftest import CONFIGS, write_slices

SMALL = {
    "channels": [4, 8],
    "encoder_blocks": [0, 1],
    "decoder_blocks": [0, 1],
    "embedding_dim": 4,
    "num_embeddings": 16,
}
NETWORK = {"network_def": {"_target_": "monai_vqoasis.networks.ResidualVQVAE", **SMALL}}
PRIOR = {
    "prior_def": {
        "_target_": "monai_vqoasis.networks.GatedPixelCNN",
        "num_embeddings": 16,
        "shape": [8, 8],
        "channels": 8,
        "hidden_channels": 4,
        "dilations": [1],
        "conditions": {"slice_index": 3, "cdr": 5},
    }
}
STAGE_2 = {"vqvae_def": NETWORK["network_def"], "network_def": PRIOR["prior_def"]}
SHORT = {"max_epochs": 20, "learning_rate": 0.005, "roi_size": [40, 48], "batch_size": 4}


def command(config, *run_id, **overrides):
    files = str(CONFIGS / config) if isinstance(config, str) else str([str(CONFIGS / c) for c in config])
    options = [str(part) for key, value in overrides.items() for part in (f"--{key}", value)]
    return [sys.executable, "-m", "monai.bundle", "run", *run_id, "--config_file", files, *options]


def run(config, *run_id, cwd, **overrides):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(config, *run_id, **overrides), cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Both stages trained for a moment, from another working directory."""
    root = tmp_path_factory.mktemp("bundle")
    where = {"dataset_dir": write_slices(root / "slices", {"train": [1, 2, 5, 6, 7], "validate": [3], "test": [4]})}
    where["ckpt_dir"] = root / "models"
    (root / "cases.csv").write_text("case,cdr\ncase_001,0\ncase_002,0.5\ncase_005,1\ncase_006,\n")
    for config, settings in (
        ("train.json", {**NETWORK, "network_def#decay": 0.8, "max_shift": 4, "resume": "false"}),
        ("train_prior.json", {**STAGE_2, "num_variants": 3, "cases_path": root / "cases.csv"}),
    ):
        output = root / config.removesuffix(".json")
        result = run(config, "training", cwd=root, **where, **settings, **SHORT, output_dir=output)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "/20 | train loss" in result.stdout
    return root, where


def rows(path):
    return list(csv.DictReader(path.open()))


def test_training_leaves_weights_numbers_and_pictures(trained):
    root, where = trained
    stage1 = rows(root / "train" / "metrics.csv")
    assert {"validate_psnr", "validate_ssim", "validate_mse", "validate_codes_used", "train_perplexity"} <= set(
        stage1[0]
    )
    stage2 = rows(root / "train_prior" / "metrics.csv")
    assert {"validate_nats_per_code", "validate_bits_per_slice", "validate_accuracy"} <= set(stage2[0])
    pictures = sorted(p.name for p in (root / "train" / "pictures").iterdir())
    assert pictures == [f"reconstructions_epoch_{epoch:03d}.png" for epoch in range(1, 21)]
    assert len(list((root / "train" / "tensorboard").iterdir())) == 1
    epochs = len(stage2)
    samples = sorted(p.name for p in (root / "train_prior" / "pictures").iterdir())
    assert samples == [f"samples_epoch_{epoch:03d}.png" for epoch in range(1, epochs + 1)]
    for name in ("model.pt", "model_prior.pt"):
        state = torch.load(where["ckpt_dir"] / name, weights_only=True)
        assert all(isinstance(value, torch.Tensor) for value in state.values())


def test_a_training_goes_on_from_weights_of_another(trained, tmp_path):
    root, where = trained
    slow = {**SHORT, "max_epochs": 1, "learning_rate": 1e-6, "max_shift": 0}
    runs = {
        "train": ("model.pt", "validate_psnr", {**NETWORK, "network_def#decay": 0.999}),
        "train_prior": (
            "model_prior.pt",
            "validate_nats_per_code",
            STAGE_2 | {"vqvae_path": where["ckpt_dir"] / "model.pt"},
        ),
    }
    for name, (file, column, settings) in runs.items():
        settings |= {"dataset_dir": where["dataset_dir"], "ckpt_dir": "models", "output_dir": name}
        settings["pretrained_path"] = where["ckpt_dir"] / file
        result = run(f"{name}.json", "training", cwd=tmp_path, **settings, **slow)
        assert result.returncode == 0, result.stdout + result.stderr
        before = [float(row[column]) for row in rows(root / name / "metrics.csv")]
        best = max(before) if column == "validate_psnr" else min(before)
        (after,) = (float(row[column]) for row in rows(tmp_path / name / "metrics.csv"))
        assert abs(after - best) < 0.2 * abs(before[0] - best)


def test_pngs_are_reconstructed_in_their_own_format(trained, tmp_path):
    _, where = trained
    section = where["dataset_dir"] / "keras_png_slices_test"
    settings = {"dataset_dir": section, "ckpt_dir": where["ckpt_dir"], "output_dir": "out", "view": "reconstruction"}
    result = run("inference.json", cwd=tmp_path, **settings, **NETWORK)
    assert result.returncode == 0, result.stdout + result.stderr
    network = load_network(where)
    for path in section.iterdir():
        image = torch.from_numpy(np.array(Image.open(path))).float()[None, None] / 255
        expected = (network(image)[0, 0] * 255).round().byte().numpy()
        written = np.asarray(Image.open(tmp_path / "out" / path.name.replace(".nii.png", "_reconstruction.png")))
        assert np.abs(written.astype(int) - expected).max() <= 1
    assert (tmp_path / "out" / "reconstructions.png").exists()


def load_network(where):
    network = ResidualVQVAE(**SMALL)
    network.load_state_dict(torch.load(where["ckpt_dir"] / "model.pt", weights_only=True))
    return network.eval().requires_grad_(False)


def test_a_volume_is_reconstructed_slice_by_slice_in_its_own_grid(trained, tmp_path):
    _, where = trained
    affine = np.array([[0, 0, -2.0, 9], [1, 0, 0, 3], [0, 1, 0, 5], [0, 0, 0, 1]])
    volume = np.random.default_rng(0).integers(0, 900, (30, 21, 6)).astype(np.int16)
    nib.save(nib.Nifti1Image(volume, affine), tmp_path / "head.nii.gz")
    settings = {"dataset_dir": "head.nii.gz", "ckpt_dir": where["ckpt_dir"], "output_dir": "out", **NETWORK}
    settings["view"] = "reconstruction"
    result = run("inference.json", cwd=tmp_path, **settings)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: head.nii.gz: holds int16 values")
    assert not (tmp_path / "out").exists()
    result = run("inference.json", cwd=tmp_path, **settings, intensity_max=900)
    assert result.returncode == 0, result.stdout + result.stderr
    written = nib.load(tmp_path / "out" / "head_reconstruction.nii.gz")
    assert written.shape == volume.shape
    assert written.get_data_dtype() == np.int16
    assert np.allclose(written.affine, affine)
    # in RAS the volume's axes are (last, reversed; first; second): its axial slices run along the second
    network = load_network(where)
    axial = torch.from_numpy(volume[:, 2, ::-1].T.copy()).float()[None, None] / 900
    expected = network(axial)[0, 0].numpy() * 900
    assert np.abs(np.asarray(written.dataobj)[:, 2, ::-1].T - expected).max() <= 1


def test_a_seed_generates_the_same_slice_however_many_are_drawn(trained, tmp_path):
    _, where = trained
    settings = {"ckpt_dir": where["ckpt_dir"], "image_size": [64, 64], **NETWORK, **PRIOR}
    runs = {
        "a": {"num_samples": 3, "seed": 5},
        "b": {"num_samples": 5, "seed": 4, "batch_size": 2},
        "c": {"num_samples": 3, "seed": 5, "slice_index": 2, "cdr": 0.5},
    }
    for name, more in runs.items():
        result = run("generate.json", cwd=tmp_path, output_dir=name, **settings, **more)
        assert result.returncode == 0, result.stdout + result.stderr
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["generated.png"] + [
        f"generated_seed_{s}.png" for s in (5, 6, 7)
    ]
    pixels = {p: np.asarray(Image.open(tmp_path / p)) for p in ("a/generated_seed_6.png", "b/generated_seed_6.png")}
    assert np.array_equal(*pixels.values())
    assert pixels["a/generated_seed_6.png"].shape == (64, 64)
    assert not np.array_equal(pixels["a/generated_seed_6.png"], Image.open(tmp_path / "a/generated_seed_7.png"))
    assert any(
        not np.array_equal(Image.open(tmp_path / "a" / name), Image.open(tmp_path / "c" / name))
        for name in (f"generated_seed_{s}.png" for s in (5, 6, 7))
    )
    for condition, message in (({"cdr": 0.7}, "CDR must be one of 0, 0.5, 1, 2, 3"), ({"slice_index": 3}, "0 to 2")):
        result = run("generate.json", cwd=tmp_path, output_dir="d", **settings, **condition)
        assert result.returncode == 1
        assert message in result.stderr.splitlines()[-1]
        assert not (tmp_path / "d").exists()


def test_evaluation_writes_report_numbers_and_slices(trained, tmp_path):
    root, where = trained
    settings = {**where, **NETWORK, **PRIOR, "num_samples": 4, "section": "validate", "samples_per_position": 2}
    settings["cases_path"] = root / "cases.csv"
    result = run("evaluate.json", "evaluating", cwd=tmp_path, output_dir="out", **settings)
    assert result.returncode == 0, result.stdout + result.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert set(metrics) == {"reconstruction", "codes", "rate", "generation", "conditions", "audit"}
    best = max(float(row["validate_psnr"]) for row in rows(root / "train" / "metrics.csv"))
    assert metrics["reconstruction"]["psnr"]["value"] == pytest.approx(best, rel=1e-3)
    assert metrics["conditions"]["slice_index"]["samples"]["num_slices"] == 6
    slices = rows(tmp_path / "out" / "per_slice.csv")
    assert [(row["case"], row["slice_index"]) for row in slices] == [("case_003", str(i)) for i in range(3)]
    nats = [float(row["validate_nats_per_code"]) for row in rows(root / "train_prior" / "metrics.csv")]
    bits = np.mean([float(row["prior_bits"]) for row in slices])
    assert bits == pytest.approx(min(nats) * 5 * 6 / np.log(2), rel=1e-3)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "case_003" in page and "data:image/png;base64" in page


def test_evaluation_without_a_prior_leaves_its_sections_out_and_says_so(trained, tmp_path):
    _, where = trained
    settings = {**where, **NETWORK, **PRIOR, "prior_path": "nowhere.pt"}
    result = run("evaluate.json", cwd=tmp_path, output_dir="out", **settings)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "nowhere.pt: no trained prior there" in result.stdout + result.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["reconstruction"]["psnr"]["value"] > 10
    assert not metrics["generation"]
    assert "no trained prior" in (tmp_path / "out" / "report.html").read_text()


def test_a_prior_of_another_codebook_is_refused(trained, tmp_path):
    _, where = trained
    torch.save(ResidualVQVAE(**SMALL).state_dict(), tmp_path / "other.pt")
    settings = {"ckpt_dir": where["ckpt_dir"], "model_path": "other.pt", **NETWORK, **PRIOR, "output_dir": "out"}
    result = run("generate.json", cwd=tmp_path, **settings)
    assert result.returncode == 1
    assert "error: the prior was trained on another codebook" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("config", "override", "message"),
    [
        ("train.json", {"batchsize": 3}, "key batchsize: nothing in this config reads it; did you mean batch_size?"),
        ("train.json", {"num_samples": 3}, "unknown config key num_samples"),
        ("generate.json", {"temprature": 3}, "did you mean temperature?"),
        ("train.json", {"dataset_dir": "/nowhere"}, "/nowhere: no such folder"),
        ("train.json", {"resume": "true"}, "checkpoint.pt: no checkpoint to resume from"),
        ("train.json", {"pretrained_path": "none.pt"}, "none.pt: no trained weights there"),
        ("train.json", {"amp": "maybe"}, "amp must be true or false, got 'maybe'"),
        ("train_prior.json", {}, "model.pt: no trained weights there"),
        ("inference.json", {}, "model.pt: no trained weights there"),
    ],
)  # fmt: skip
def test_mistakes_end_in_one_line_and_nothing_is_written(dataset_dir, tmp_path, config, override, message):
    settings = {"dataset_dir": dataset_dir, "ckpt_dir": "models", "output_dir": "out", **override}
    if config == "generate.json":
        settings.pop("dataset_dir")
    if config == "inference.json":
        settings["dataset_dir"] = dataset_dir / "keras_png_slices_test"
    result = run(config, cwd=tmp_path, **settings)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["slices"]


def test_ctrl_c_leaves_a_checkpoint_to_resume_from(tmp_path):
    data = write_slices(tmp_path / "slices", {"train": [1, 2, 3, 4], "validate": [5], "test": [6]})
    settings = {
        "dataset_dir": data, "ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "out",
        "max_epochs": 4000, "batch_size": 1, **NETWORK,
    }  # fmt: skip
    process = subprocess.Popen(
        command("train.json", "training", **settings), cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            break
    rest = process.stdout.read()
    assert process.wait(timeout=60) == 0
    assert "stopping after this iteration" in rest
    state = torch.load(tmp_path / "models" / "checkpoint.pt", weights_only=True)
    settings["max_epochs"] = state["trainer"]["epoch"] + 1
    resumed = run("train.json", cwd=tmp_path, resume=True, **settings)
    assert resumed.returncode == 0, resumed.stderr
    assert f"epoch {settings['max_epochs']}/{settings['max_epochs']} |" in resumed.stdout
    numbers = [int(row["epoch"]) for row in rows(tmp_path / "out" / "metrics.csv")]
    assert numbers == list(range(1, settings["max_epochs"] + 1))


def test_the_original_overlay_is_the_original():
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / "train.json"), str(CONFIGS / "original.json")])
    parser["device"] = "cpu"
    network = parser.get_parsed_content("network_def")
    assert sum(p.numel() for p in network.parameters()) == 1_150_721
    assert network.quantizer.learning == "gradient"
    assert network.quantizer.initialized
    assert (parser.get_parsed_content("max_epochs"), parser.get_parsed_content("batch_size")) == (20, 8)
    assert parser.get_parsed_content("learning_rate") == 1e-3
    rates = []
    for index in range(3):
        parser = ConfigParser()
        parser.read_config([str(CONFIGS / "train_prior.json"), str(CONFIGS / "original_prior.json")])
        parser["learning_rate_index"] = index
        rates.append(parser.get_parsed_content("learning_rate"))
        assert (parser.get_parsed_content("max_epochs"), parser.get_parsed_content("batch_size")) == (600, 32)
        assert parser["early_stopping_patience"] >= 600
        assert sum(p.numel() for p in parser.get_parsed_content("network_def").parameters()) == 2_367_424
    assert rates == [1e-4, 3e-4, 5e-4]


def test_weights_load_by_name_into_the_configs_network(trained, tmp_path):
    _, where = trained
    (tmp_path / "vqoasis").mkdir()
    (tmp_path / "vqoasis" / "configs").symlink_to(CONFIGS)
    (tmp_path / "vqoasis" / "models").symlink_to(where["ckpt_dir"])
    where_from = {"name": "vqoasis", "bundle_dir": tmp_path, "source": "github", "device": "cpu"}
    with pytest.raises(InputError, match=r"trained with field_of_view None, this ResidualVQVAE has \[152, 184\]"):
        load(**where_from, net_override=SMALL)
    network = load(**where_from, net_override={**SMALL, "field_of_view": "$None"}).eval()
    image = torch.rand(1, 1, 40, 48)
    assert torch.equal(network(image), load_network(where)(image))
