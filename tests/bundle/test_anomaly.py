"""Anomaly maps by the bundle, as its users ask for them."""

from __future__ import annotations

import csv

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from monai_vqoasis.inferers import AnomalyInferer, load_calibration
from monai_vqoasis.networks import GatedPixelCNN, ResidualVQVAE, load_weights
from monai_vqoasis.transforms import LoadSlice
from tests.bundle.test_bundle import NETWORK, PRIOR, SMALL, run
from tests.conftest import write_slices

PAIR = {**NETWORK, **PRIOR, "num_restorations": 2}


def networks():
    prior_def = {key: value for key, value in PRIOR["prior_def"].items() if key != "_target_"}
    return ResidualVQVAE(**SMALL), GatedPixelCNN(**prior_def)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """Networks with random weights, slices, and a calibration by the bundle."""
    root = tmp_path_factory.mktemp("calibrated")
    torch.manual_seed(0)
    vqvae, prior = networks()
    prior.pair_with(vqvae, (5, 6))
    (root / "models").mkdir()
    torch.save(vqvae.state_dict(), root / "models" / "model.pt")
    torch.save(prior.state_dict(), root / "models" / "model_prior.pt")
    slices = write_slices(root / "slices", {"train": [1], "validate": [2, 3, 5], "test": [4]})
    result = run("calibrate.json", cwd=root, dataset_dir=slices, ckpt_dir=root / "models", **PAIR)
    assert result.returncode == 0, result.stdout + result.stderr
    return slices, root / "models"


def expected_maps(models, method, image):
    calibration = load_calibration(models / "calibration.pt")
    files = ("model.pt", "model_prior.pt")
    vqvae, prior = (load_weights(net, models / file) for net, file in zip(networks(), files, strict=True))
    maps = AnomalyInferer(method, calibration, prior, num_restorations=2)(image, vqvae)
    return maps, calibration.threshold(method, 0.05)


def test_labels_of_pictures_are_the_map_above_the_threshold(calibrated, tmp_path):
    slices, models = calibrated
    section = slices / "keras_png_slices_test"
    settings = {"dataset_dir": section, "ckpt_dir": models, "output_dir": "out", "healthy_fraction": 0.05}
    result = run("inference.json", cwd=tmp_path, view="anomaly", **settings, **PAIR)
    assert result.returncode == 0, result.stdout + result.stderr
    found = []
    for path in sorted(section.iterdir()):
        maps, threshold = expected_maps(models, "restoration", torch.as_tensor(LoadSlice()(path)).unsqueeze(0))
        written = np.asarray(Image.open(tmp_path / "out" / path.name.replace(".nii.png", "_anomaly.png")))
        assert np.array_equal(written, (maps[0, 0] >= threshold).numpy().astype(np.uint8))
        found.append(written.any())
    assert any(found)
    rows = list(csv.DictReader((tmp_path / "out" / "anomaly_scores.csv").open()))
    assert [row["file"] for row in rows] == [f"case_004_slice_{index}.nii.png" for index in range(3)]
    assert all(np.isfinite(float(row["anomaly_score"])) for row in rows)
    assert (tmp_path / "out" / "anomalies.png").is_file()


def test_a_volume_gets_a_heat_map_in_its_own_grid(calibrated, tmp_path):
    slices, models = calibrated
    stack = [np.asarray(Image.open(path)) for path in sorted((slices / "keras_png_slices_test").iterdir())]
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    nib.save(nib.Nifti1Image(np.stack(stack, -1).astype(np.uint8), affine), tmp_path / "head.nii.gz")
    settings = {"dataset_dir": "head.nii.gz", "ckpt_dir": models, "output_dir": "out", "method": "surprise"}
    result = run("inference.json", cwd=tmp_path, view="heatmap", threshold=2.0, **settings, **PAIR)
    assert result.returncode == 0, result.stdout + result.stderr
    written = nib.load(tmp_path / "out" / "head_heatmap.nii.gz")
    assert np.allclose(written.affine, affine)
    volume = torch.from_numpy(np.stack(stack, -1)).float()[None, None] / 255
    maps, _ = expected_maps(models, "surprise", volume)
    heat = np.rint((maps[0, 0] / 4).clamp(0, 1).numpy() * 255)
    assert heat.max() > 0
    assert np.abs(written.get_fdata() - heat).max() <= 1
    rows = list(csv.DictReader((tmp_path / "out" / "anomaly_scores.csv").open()))
    assert [row["slice"] for row in rows] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"view": "magic"}, "view must be one of anomaly, heatmap, reconstruction, got 'magic'"),
        ({"view": "anomaly", "calibration_path": "none.pt"}, "none.pt: no such file"),
        ({"view": "anomaly", "healthy_fraction": 0.7}, "healthy_fraction must be 0.001 to 0.1"),
    ],
)
def test_mistakes_are_named(calibrated, tmp_path, settings, sentence):
    slices, models = calibrated
    settings = {"dataset_dir": slices / "keras_png_slices_test", "ckpt_dir": models, **settings}
    result = run("inference.json", cwd=tmp_path, output_dir="out", **settings, **PAIR)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert sentence in result.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()
