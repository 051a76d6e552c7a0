"""The overlays for several processes, beside one process that sees the joined batches."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import ignite.distributed as idist
import pytest
import torch
from monai.bundle import ConfigWorkflow

from tests.bundle.test_bundle import NETWORK, PRIOR, command, rows
from tests.conftest import CONFIGS, write_slices

TIMES = ("seconds", "items_per_second")
PRIOR_DEF = {**PRIOR["prior_def"], "dropout": 0.0, "condition_dropout": 0.0}  # each process would drop others
VQVAE_DEF = {**NETWORK["network_def"], "decay": 0.8}
SHORT = {"max_epochs": 3, "learning_rate": 0.005, "roi_size": [40, 48], "max_shift": 2, "warmup_steps": 5}
STEPS = {
    "train": {**SHORT, "network_def": VQVAE_DEF},
    "train_prior": {**SHORT, "vqvae_def": VQVAE_DEF, "network_def": PRIOR_DEF, "num_variants": 2},
    "evaluate": {
        "section": "validate", "num_samples": 5, "samples_per_position": 2, "codec_slices": 2,
        "network_def": VQVAE_DEF, "prior_def": PRIOR_DEF,
    },
}  # fmt: skip


def work(rank: int, root: Path, processes: int) -> None:
    """Both stages and the report; then the first epochs of stage 1 again, stopped and resumed."""
    torch.set_num_threads(1)
    folder = root / str(processes)
    for name, settings in STEPS.items():
        ckpt_dir = root / "1" if name == "evaluate" else folder
        run(name, processes, root, **settings, ckpt_dir=ckpt_dir, output_dir=folder / name)
    if processes > 1:
        stopped = {"ckpt_dir": folder / "stopped", "output_dir": folder / "stopped", "cosine_decay": False}
        for epochs in (2, 3):
            settings = {**STEPS["train"], **stopped, "max_epochs": epochs, "resume": epochs == 3}
            run("train", processes, root, **settings)
        where = {"ckpt_dir": folder / "whole", "output_dir": folder / "whole"}
        run("train", processes, root, **{**STEPS["train"], **stopped, **where})


def run(name: str, processes: int, root: Path, **settings: object) -> None:
    files = [f"{name}.json"] + [f"multi_gpu_{name.split('_')[0]}.json"] * (processes > 1)
    if name != "evaluate":
        settings["batch_size"] = 8 // processes  # of 15 slices: 8 and 7
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in settings.items()}
    workflow = ConfigWorkflow(
        [str(CONFIGS / file) for file in files], workflow_type="train", logging_file=False,
        dataset_dir=str(root / "slices"), **settings,
    )  # fmt: skip
    workflow.initialize()
    workflow.run()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    root = tmp_path_factory.mktemp("several")
    data = write_slices(root / "slices", {"train": [1, 2, 5, 6, 7], "validate": [3, 8], "test": [4]})
    (data / "keras_png_slices_validate" / "case_008_slice_2.nii.png").unlink()
    work(0, root, 1)
    idist.spawn("gloo", work, args=(root, 2), nproc_per_node=2)
    return root


@pytest.mark.parametrize(("stage", "weights"), [("train", "model.pt"), ("train_prior", "model_prior.pt")])
def test_two_processes_have_the_numbers_and_weights_of_one(done, stage, weights):
    one, two = (rows(done / number / stage / "metrics.csv") for number in "12")
    assert len(one) == 3
    for expected, found in zip(one, two, strict=True):
        expected, found = ({k: float(v) for k, v in row.items() if k not in TIMES} for row in (expected, found))
        assert found == pytest.approx(expected, rel=1e-4)
    one, two = (torch.load(done / number / weights, weights_only=True) for number in "12")
    for key, value in one.items():
        if key != "codebook_fingerprint":
            torch.testing.assert_close(two[key], value, rtol=1e-3, atol=1e-4)


def test_two_processes_report_what_one_does(done):
    one, two = (json.loads((done / number / "evaluate" / "metrics.json").read_text()) for number in "12")
    assert flat(two) == pytest.approx(flat(one), rel=1e-4)
    one, two = (list(csv.DictReader((done / number / "evaluate" / "per_slice.csv").open())) for number in "12")
    assert len(one) == 5
    assert [float(row["prior_bits"]) for row in two] == pytest.approx([float(r["prior_bits"]) for r in one], rel=1e-4)


def flat(value: object, name: str = "") -> dict[str, float]:
    if isinstance(value, dict):
        return {key: number for part, item in value.items() for key, number in flat(item, f"{name}/{part}").items()}
    return {name: value} if isinstance(value, (int, float)) else {}


def test_one_process_writes(done):
    one, two = (files(done / number) for number in "12")
    assert one == [name for name in two if not name.startswith(("stopped", "whole"))]
    for stage in ("train", "train_prior"):
        assert len(list((done / "2" / stage / "tensorboard").iterdir())) == 1


def files(folder: Path) -> list[str]:
    paths = (path.relative_to(folder) for path in folder.rglob("*"))
    return sorted(str(path) for path in paths if "tfevents" not in path.name)


def test_two_processes_go_on_where_they_were_stopped(done):
    whole, parts = (torch.load(done / "2" / name / "checkpoint.pt", weights_only=True) for name in ("whole", "stopped"))
    assert len(whole["trainer"]["random_states"]) == 2
    for name, value in whole["model"].items():
        assert torch.equal(value, parts["model"][name])


def test_torchrun_trains_as_the_user_runs_it(tmp_path):
    data = write_slices(tmp_path / "slices", {"train": [1], "validate": [2], "test": [4]})
    settings = {**SHORT, "max_epochs": 1, "batch_size": 1, "network_def": VQVAE_DEF, "dataset_dir": data}
    settings |= {"ckpt_dir": tmp_path / "a", "output_dir": tmp_path / "a"}
    line = command(["train.json", "multi_gpu_train.json"], "training", **settings)
    line[:1] = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("epoch 1/1 |") == result.stdout.count("metrics.csv") == 1
    assert len(rows(tmp_path / "a" / "metrics.csv")) == 1
