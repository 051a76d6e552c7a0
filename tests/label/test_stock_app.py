"""The bundle in MONAI Label's own app for bundles."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.conftest import CONFIGS
from tests.label.images import KINDS, pixels, same_but_for_rounding, written
from tests.label.server import VIEWERS, Server

APP = Path(sys.prefix) / "monailabel" / "sample-apps" / "monaibundle"
# what imports torchvision where it is not for this PyTorch, as the project's own app does
START = "import monai_vqoasis.label; from monailabel.main import Main; Main().run()"
# the app takes a picture's name up to the last dot
IMAGES = {image: f"{image}.nii" if image.startswith("case") else image for image in KINDS if image != "lossy"}


@pytest.fixture(scope="module")
def server(folder):
    shutil.copytree(APP, folder / "stock")
    (folder / "stock" / "model").mkdir(exist_ok=True)
    (folder / "stock" / "model" / "vqoasis").symlink_to(CONFIGS.parent, target_is_directory=True)
    shutil.copytree(folder / "readable", folder / "stock_studies")
    command = ("-W", "ignore", "-c", START, "start_server", "--app", "stock", "--studies", "stock_studies")
    conf = ("--conf", "models", "vqoasis", "--conf", "sam2", "false")
    server = Server(folder, *command, *conf, MONAI_ZOO_SOURCE="ngc")
    yield server
    server.stop()


def test_views_and_methods_are_drop_downs_with_the_defaults_first(server):
    model = server.get("info/").json()["models"]["vqoasis"]
    assert model["labels"] == {"anomaly": 1}
    assert model["config"]["view"] == ["anomaly", "heatmap", "reconstruction"]
    assert model["config"]["method"] == ["restoration", "residual", "surprise"]
    assert model["config"]["threshold"] == 0
    assert model["config"]["model_filename"][0] == "model.pt"


@pytest.mark.parametrize("image", IMAGES)
def test_every_view_is_that_of_the_bundle(server, by_bundle, tmp_path, image):
    for view in ("anomaly", "heatmap", "reconstruction"):
        expected = written(by_bundle(view), image, view)
        path, result = server.infer(tmp_path, "vqoasis", IMAGES[image], view=view)
        levels = pixels(expected)
        found = pixels(path).reshape(levels.shape)
        if levels.dtype == np.uint16:  # half a level each
            assert np.abs(found - levels / 257).max() <= 0.5 + 0.5 / 257 + 1e-3
        else:
            assert np.array_equal(found, levels) if view == "anomaly" else same_but_for_rounding(found, levels)
        if ".nii" in expected.suffixes:
            assert np.allclose(nib.load(path).affine, nib.load(expected).affine)
        assert pixels(path).any() or view == "anomaly"
        as_asked, again = server.infer(tmp_path, "vqoasis", IMAGES[image], view=view, **VIEWERS)
        shown = pixels(as_asked)
        assert shown.dtype == np.uint8
        assert np.array_equal(
            shown, pixels(path).reshape(shown.shape) if ".nii" in expected.suffixes else pixels(path).T
        )
        if view == "reconstruction":
            assert "anomaly_score" not in result
        else:
            assert result["anomaly_score"] == max(result["slice_scores"]) == again["anomaly_score"]
            assert len(result["slice_scores"]) == (2 if image == "volume" else 1)


def test_options_count_and_wrong_weights_are_refused(server, by_bundle, tmp_path):
    chosen = {"method": "surprise", "threshold": 1.5}
    expected = pixels(written(by_bundle("anomaly", "readable/picture.png", **chosen), "picture", "anomaly"))
    assert expected.any()
    assert np.array_equal(pixels(server.infer(tmp_path, "vqoasis", "picture", **chosen)[0]), expected)
    log = Path(server.log.name)
    for wrong, sentence in (
        ({"model_filename": "model_prior.pt", "view": "reconstruction"}, "no weights of this ResidualVQVAE"),
        ({"view": "magic"}, "view must be one of anomaly, heatmap, reconstruction, got 'magic'"),
    ):
        before = len(log.read_text())
        assert server.ask("vqoasis", "picture", **wrong).status_code == 500
        server.wait_until(lambda before=before, sentence=sentence: sentence in log.read_text()[before:], 30)
    plain = pixels(written(by_bundle("anomaly"), "picture", "anomaly"))
    assert np.array_equal(pixels(server.infer(tmp_path, "vqoasis", "picture")[0]), plain)


def test_nothing_but_this_machine_was_asked_for_anything(server):
    assert not server.outside.exists(), server.outside.read_text()
