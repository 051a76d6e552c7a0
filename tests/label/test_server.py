"""The app as MONAI Label's clients see it: a real server, asked for everything that 3D Slicer and OHIF ask for."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tests.conftest import CONFIGS
from tests.label.images import BAD, KINDS, pixels, same_but_for_rounding, written
from tests.label.server import VIEWERS, Server

BUNDLE = CONFIGS.parent
LAUNCHER = ("-W", "ignore", "-m", "monai_vqoasis.label", "--studies", "studies", "--app_dir", "app")
SCORES = ("anomaly_score", "anomalous_share", "slice_scores", "slice_shares")


@pytest.fixture(scope="module")
def server(folder):
    command = (*LAUNCHER, "--bundle", str(BUNDLE))
    server = Server(folder, *command, MONAI_LABEL_AUTO_UPDATE_SCORING="false")
    yield server
    server.stop()


def weights(folder: Path) -> list[str]:
    names = ("model.pt", "model_prior.pt", "calibration.pt")
    return [hashlib.sha256((folder / "app/model/vqoasis/models" / name).read_bytes()).hexdigest() for name in names]


def test_it_says_what_it_offers(server):
    info = server.get("info/").json()
    assert {name: model["type"] for name, model in info["models"].items()} == {
        "anomaly": "segmentation", "heatmap": "others", "reconstruct": "others", "generate": "others",
    }  # fmt: skip
    assert info["labels"] == ["anomaly"]
    anomaly = info["models"]["anomaly"]["config"]
    assert anomaly["method"] == ["restoration", "residual", "surprise"]
    assert not {"view", "model_filename"} & anomaly.keys()
    assert list(info["trainers"]) == ["retrain"] and list(info["scoring"]) == ["anomaly"]
    assert list(info["strategies"]) == ["most_anomalous", "most_normal"]
    assert info["datastore"]["total"] == len(KINDS) + len(BAD)


@pytest.mark.parametrize("image", KINDS)
def test_labels_are_those_of_the_bundle_pixel_for_pixel(server, by_bundle, tmp_path, image):
    expected = written(by_bundle("anomaly"), image, "anomaly")
    path, result = server.infer(tmp_path, "anomaly", image)
    assert path.name.endswith(expected.suffix)
    assert pixels(path).dtype == np.uint8
    assert np.array_equal(pixels(path), pixels(expected))
    assert pixels(path).any() or image in ("deep", "lossy", "flat")
    assert result["anomaly_score"] == max(result["slice_scores"])
    assert len(result["slice_scores"]) == (2 if image == "volume" else 1)
    nifti = ".nii" in expected.suffixes
    if nifti:
        assert np.allclose(nib.load(path).affine, nib.load(expected).affine)
    as_asked, again = server.infer(tmp_path, "anomaly", image, **VIEWERS)
    assert as_asked.suffix == ".nrrd"
    assert {name: again[name] for name in SCORES} == {name: result[name] for name in SCORES}
    # first along x, in a viewer; a slice of a NIfTI file has a place in space
    mask = pixels(as_asked)
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, pixels(expected).reshape(mask.shape) if nifti else pixels(expected).T)
    if nifti:
        header = pytest.importorskip("nrrd").read_header(str(as_asked))
        assert header["space"] == "left-posterior-superior"
        to_lps = np.diag([-1, -1, 1])
        affine = nib.load(expected).affine
        assert np.allclose(header["space directions"], (to_lps @ affine[:3, :3]).T, atol=1e-4)
        assert np.allclose(header["space origin"], to_lps @ affine[:3, 3], atol=1e-4)


@pytest.mark.parametrize(("model", "view"), [("heatmap", "heatmap"), ("reconstruct", "reconstruction")])
def test_maps_and_reconstructions_are_those_of_the_bundle(server, by_bundle, tmp_path, model, view):
    for image in ("picture", "volume"):
        expected = pixels(written(by_bundle(view), image, view))
        assert expected.max() > 100
        found = pixels(server.infer(tmp_path, model, image)[0])
        assert same_but_for_rounding(found, expected)
        as_asked = pixels(server.infer(tmp_path, model, image, **VIEWERS)[0])
        assert np.array_equal(as_asked, found if image == "volume" else found.T)


def test_options_and_uploads_and_sessions_count(server, by_bundle, folder, tmp_path):
    chosen = {"method": "surprise", "threshold": 1.5}
    expected = pixels(written(by_bundle("anomaly", "readable/picture.png", **chosen), "picture", "anomaly"))
    assert np.array_equal(pixels(server.infer(tmp_path, "anomaly", "picture", **chosen)[0]), expected)
    upload = folder / "studies" / "picture.png"
    assert np.array_equal(pixels(server.infer(tmp_path, "anomaly", upload=upload, **chosen)[0]), expected)
    session = server.open_session(upload)
    answer = server.post("infer/anomaly", session_id=session, output="json").json()
    assert answer["anomaly_score"] == server.infer(tmp_path, "anomaly", "picture")[1]["anomaly_score"]
    for wrong, sentence in (
        ({"method": "magic"}, "method must be one of"),
        ({"threshold": "high"}, "threshold must be"),
    ):
        answer = server.ask("anomaly", "picture", **wrong)
        assert answer.status_code == 422
        assert sentence in answer.json()["detail"]


def test_new_slices_are_those_of_the_bundle(server, folder, tmp_path):
    path, result = server.infer(tmp_path, "generate", "picture", slice_index=18, seed=2)
    assert same_but_for_rounding(pixels(path), pixels(folder / "drawn" / "generated_seed_2.png"))
    assert (result["seed"], result["slice_index"]) == (2, 18)
    assert 1000 < result["bits"] < 8192
    as_asked, again = server.infer(tmp_path, "generate", "picture", slice_index="18", seed=2, **VIEWERS)
    assert np.array_equal(pixels(as_asked), pixels(path).T)
    assert again["bits"] == result["bits"]
    settings = {"cdr": "0.5", "temperature": 0.9}
    path, result = server.infer(tmp_path, "generate", "volume", **settings)
    assert 0 < result["slice_index"] < 26
    named, _ = server.infer(tmp_path, "generate", "picture", slice_index=result["slice_index"], **settings)
    assert np.array_equal(pixels(named), pixels(path))
    for wrong, sentence in (
        ({"slice_index": 99}, "slice_index must be 0 to 25"),
        ({"slice_index": "top"}, "slice_index must be a number"),
        ({"cdr": 7}, "CDR must be one of"),
        ({"temperature": 0}, "temperature must be positive"),
        ({"seed": "x"}, "seed must be a number"),
    ):
        answer = server.ask("generate", "picture", **wrong)
        assert answer.status_code == 422
        assert sentence in answer.json()["detail"]


def test_mistakes_are_named_and_the_server_goes_on(server, folder, tmp_path):
    for model, image, status, sentence in (
        ("anomaly", "nobody", 404, "there is no image 'nobody'"),
        ("generate", "nobody", 404, "there is no image 'nobody'"),
        ("magic", "picture", 404, "There is no model 'magic'"),
        ("anomaly", "colour", 422, "colour.png: is a colour picture"),
        ("anomaly", "large", 422, "of the brain lies outside of the middle 152x184 pixels"),
        ("reconstruct", "broken", 422, "broken.png: the picture is damaged"),
        ("generate", "broken", 422, "broken.png: the picture is damaged"),
    ):
        answer = server.ask(model, image)
        assert answer.status_code == status
        assert sentence in answer.json()["detail"]
    models = folder / "app/model/vqoasis/models"
    for name, sentence in (("model.pt", "no trained weights there"), ("calibration.pt", "no such file")):
        (models / name).rename(models / "aside")
        answer = server.ask("anomaly", "picture")
        (models / "aside").rename(models / name)
        assert answer.status_code == 422
        assert f"{name}: {sentence}" in answer.json()["detail"]
    assert server.save_label("nobody", folder / "studies" / "picture.png").status_code == 404
    assert server.infer(tmp_path, "anomaly", "picture")[0].is_file()


def test_scores_decide_what_comes_next(server, tmp_path):
    answer = server.post("activelearning/most_anomalous")
    assert answer.status_code == 422
    assert "none of the 9 unlabelled images has a score yet" in answer.json()["detail"]
    assert server.post("scoring/anomaly").ok
    task = server.background("scoring/")
    assert task["status"] == "DONE"
    assert '"scored": 6' in task["details"][-1]
    assert "broken.png: the picture is damaged" in task["details"][-1]
    notes = server.get("datastore/", output="all").json()["objects"]
    for image in KINDS:
        _, result = server.infer(tmp_path, "anomaly", image)
        noted = notes[image]["image"]["info"]
        assert noted["anomaly_score"] == pytest.approx(result["anomaly_score"], abs=1e-6)
        assert noted["slice_scores"] == pytest.approx(result["slice_scores"], abs=1e-6)
    assert "is a colour picture" in notes["colour"]["image"]["info"]["anomaly_error"]
    scores = {image: notes[image]["image"]["info"]["anomaly_score"] for image in KINDS}
    for strategy, extreme in (("most_anomalous", max), ("most_normal", min)):
        sample = server.post(f"activelearning/{strategy}").json()
        assert sample["anomaly_score"] == extreme(scores.values())
        assert sample["id"] == min(image for image in KINDS if scores[image] == sample["anomaly_score"])
        assert sample["slice_scores"][sample["worst_slice"]] == sample["anomaly_score"]
    assert server.post("scoring/anomaly").ok
    assert '"scored": 0' in server.background("scoring/")["details"][-1]


def test_a_batch_goes_on_after_a_bad_file(server):
    assert server.post("batch/infer/anomaly", {"images": ["broken", "deep"], "label_tag": "original"}).ok
    task = server.background("batch/infer")
    assert task["status"] == "DONE", "\n".join(task["details"])
    notes = server.get("datastore/", output="all").json()["objects"]
    assert {image for image, note in notes.items() if "original" in note["labels"]} == {"deep"}


def test_retraining_takes_healthy_images_and_the_server_new_weights(server, by_bundle, folder, tmp_path):
    before = weights(folder)
    healthy = ("deep", "flat", "lossy")
    for image in healthy[:2]:
        Image.fromarray(np.zeros((256, 256), dtype=np.uint8)).save(tmp_path / "empty.png")
        assert server.save_label(image, tmp_path / "empty.png").json()["label"] == image
    lesion, _ = server.infer(tmp_path, "anomaly", "picture", **VIEWERS)
    assert server.save_label("picture", lesion).ok
    sample = server.post("activelearning/most_anomalous").json()
    assert sample["id"] not in ("picture", *healthy[:2])

    assert server.post("train/retrain", {"max_epochs": 1, "prior_epochs": 1}).ok
    task = server.background("train/")
    assert task["status"] == "ERROR"
    assert task["details"][-1].startswith(
        "error: retraining needs images of 3 people at least, and healthy images show 2"
    )
    assert weights(folder) == before

    label = nib.Nifti1Image(np.zeros((256, 256, 1), dtype=np.uint8), np.eye(4))
    nib.save(label, tmp_path / "empty.nii.gz")
    assert server.save_label("lossy", tmp_path / "empty.nii.gz").ok
    reconstruction = pixels(server.infer(tmp_path, "reconstruct", "picture")[0])
    assert server.post("train/retrain", {"max_epochs": 1, "prior_epochs": 1}).ok
    task = server.background("train/")
    assert task["status"] == "DONE", "\n".join(task["details"])
    assert any(line.startswith("epoch 1/1 | train loss") for line in task["details"])
    assert all(now != then for now, then in zip(weights(folder), before, strict=True))
    stats = server.get("info/").json()["train_stats"]["retrain"]
    assert (stats["images"], stats["people"], stats["slices"], stats["validation_slices"]) == (3, 3, 1, 2)
    assert stats["validate_psnr"] > 20

    models = folder / "app/model/vqoasis/models"
    for reload in (False, True):
        if reload:
            assert server.post("reload").ok
        changed = pixels(server.infer(tmp_path, "reconstruct", "picture")[0])
        assert not np.array_equal(changed, reconstruction)
        for model, view in (("reconstruct", "reconstruction"), ("anomaly", "anomaly")):
            expected = pixels(written(by_bundle(view, "readable/picture.png", models), "picture", view))
            assert np.array_equal(pixels(server.infer(tmp_path, model, "picture")[0]), expected)
    shipped = [hashlib.sha256((BUNDLE / "models" / name).read_bytes()).hexdigest() for name in ("model.pt",)]
    assert shipped[0] == before[0]


def test_the_folder_is_an_app_like_others_and_scores_what_is_new(server, folder, tmp_path):
    mine, _ = server.infer(tmp_path, "anomaly", "case_001_slice_5")
    other = Server(folder, "-m", "monailabel.main", "start_server", "--app", "app", "--studies", "studies")
    try:
        assert other.get("info/").json()["models"] == server.get("info/").json()["models"]
        theirs, _ = other.infer(tmp_path, "anomaly", "case_001_slice_5")
        assert np.array_equal(pixels(theirs), pixels(mine))
        # the weights are others than those that the scores were made with
        assert other.get("scoring/").json()["status"] == "RUNNING"
        assert other.delete("scoring/").json()["status"] == "STOPPED"
    finally:
        other.stop()


def test_nothing_but_this_machine_was_asked_for_anything(server):
    assert not server.outside.exists(), server.outside.read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--studies", "nowhere"), "nowhere: no such folder"),
        (("--studies", ".", "--bundle", "untrained"), "untrained/models: has no model_prior.pt and no calibration.pt"),
        (("--studies", ".", "--app_dir", "other", "--bundle", str(BUNDLE)), "other: is another app"),
    ],
)
def test_what_cannot_be_started_is_named(tmp_path, options, sentence):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "main.py").write_text("")
    shutil.copytree(CONFIGS, tmp_path / "untrained" / "configs")
    command = [sys.executable, "-W", "ignore", "-m", "monai_vqoasis.label", *options]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(f"error: {sentence}")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "untrained"]
