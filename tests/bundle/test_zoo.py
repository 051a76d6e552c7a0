"""What MONAI's model zoo asks of a bundle, without the exclusions that its generative bundles are granted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from importlib.metadata import requires

import pytest
import torch
from monai.bundle import ConfigWorkflow, create_workflow
from monai.data import load_net_with_metadata
from packaging.requirements import Requirement

import monai_vqoasis
from monai_vqoasis.data import find_images
from monai_vqoasis.networks import ResidualVQVAE, load_weights
from monai_vqoasis.transforms import LoadSliced
from tests.bundle.test_bundle import NETWORK, PRIOR, STAGE_2
from tests.conftest import CONFIGS, REPOSITORY, write_slices

METADATA = json.loads((CONFIGS / "metadata.json").read_text())
SHORT = {"max_epochs": 1, "batch_size": 4, "roi_size": [40, 48], "max_shift": 0, "warmup_steps": 1}
STAGE_1 = {**NETWORK, **SHORT}
PAIR = {**NETWORK, **PRIOR}
# configs that run together, their type for the zoo, folder of the weights, and settings that make them short
RUNS = {
    "train.json": ("train", "small", STAGE_1),
    "train_prior.json": ("train", "small", {**STAGE_2, **SHORT, "num_variants": 1}),
    "train.json original.json": ("train", "original", SHORT),
    "train_prior.json original_prior.json": ("train", "original", SHORT),
    "inference.json": ("inference", "small", {**NETWORK, "view": "reconstruction"}),
    "generate.json": (None, "small", {**PAIR, "num_samples": 2, "image_size": [64, 64]}),
    "evaluate.json": (None, "small", {**PAIR, "num_samples": 4, "samples_per_position": 1, "codec_slices": 2}),
    "calibrate.json": (None, "small", {**PAIR, "section": "train", "num_restorations": 1}),
    "export.json": (None, "small", {**PAIR, "num_samples": 2, "image_size": [40, 48]}),
    "prepare_demo.json": (None, "small", {"num_train": 1, "num_validate": 1, "num_test": 1}),
}
TRAININGS = [run for run in RUNS if run.startswith("train")]
TESTED_ELSEWHERE = ("multi_gpu_*.json", "prepare_oasis.json")
NEEDS = {"prepare_demo.json": ["nilearn"], "export.json": ["onnxruntime", "onnxscript"]}

TEXT = {"type": "string", "minLength": 1}
VERSION = {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"}
TENSOR = {
    "required": [
        "type", "format", "num_channels", "spatial_shape", "dtype", "value_range", "is_patch_data", "channel_def",
    ],
    "properties": {
        "type": TEXT,
        "format": TEXT,
        "modality": TEXT,
        "num_channels": {"type": "integer", "minimum": 1},
        "spatial_shape": {"type": "array", "minItems": 2, "items": {"type": ["integer", "string"]}},
        "dtype": TEXT,
        "value_range": {"type": "array", "minItems": 2, "maxItems": 2},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object", "minProperties": 1, "additionalProperties": TEXT},
    },
}  # fmt: skip
# what MONAI's schema asks for, which can only be had from the network, and what the zoo's scripts read besides
FIELDS = {
    "schema": {"type": "string", "pattern": "meta_schema_20240725.json$"},
    "version": VERSION,
    "changelog": {"type": "object", "minProperties": 1, "additionalProperties": TEXT},
    "monai_version": VERSION,
    "pytorch_version": VERSION,
    "numpy_version": VERSION,
    "required_packages_version": {"type": "object", "additionalProperties": VERSION},
    "supported_apps": {"type": "object"},
    "name": TEXT,
    "task": TEXT,
    "description": TEXT,
    "authors": TEXT,
    "copyright": TEXT,
    "data_source": TEXT,
    "data_type": TEXT,
    "intended_use": TEXT,
    "references": {"type": "array", "minItems": 1, "items": TEXT},
    "network_data_format": {
        "type": "object",
        "required": ["inputs", "outputs"],
        "properties": {
            "inputs": {"required": ["image"], "additionalProperties": TENSOR},
            "outputs": {"required": ["pred"], "additionalProperties": TENSOR},
        },
    },
}
SCHEMA = {"type": "object", "required": list(FIELDS), "properties": FIELDS}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The bundle where the zoo has it, models/<name>, so that what the checks write is not written here."""
    root = tmp_path_factory.mktemp("zoo") / "models" / "vqoasis"
    shutil.copytree(CONFIGS.parent, root, ignore=shutil.ignore_patterns("data", "eval", "checkpoint*.pt"))
    return root


def monai_bundle(bundle, verb, *arguments):
    command = [sys.executable, "-W", "ignore", "-m", "monai.bundle", verb, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=bundle.parent.parent, env=environment, capture_output=True, text=True, timeout=300
    )


def test_required_and_preferred_files_are_there(bundle):
    for name in (
        "LICENSE", "configs/metadata.json", "configs/train.json", "configs/inference.json", "configs/logging.conf",
        "docs/README.md", "docs/data_license.txt", "models/model.pt",
    ):  # fmt: skip
        assert (bundle / name).stat().st_size > 0, name
    assert all(file.stat().st_size < 25e6 for file in bundle.rglob("*"))  # larger ones the zoo keeps elsewhere


@pytest.mark.parametrize("missing", [None, "authors", "required_packages_version"])
def test_metadata_follow_the_schema(bundle, tmp_path, missing):
    metadata = {key: value for key, value in METADATA.items() if key != missing}
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))  # where there is one, MONAI does not download it
    files = ("--meta_file", tmp_path / "metadata.json", "--filepath", tmp_path / "schema.json")
    result = monai_bundle(bundle, "verify_metadata", *files)
    if missing:
        assert result.returncode != 0
        assert f"'{missing}' is a required property" in result.stderr
    else:
        assert result.returncode == 0, result.stderr
        assert "metadata is verified with no error" in result.stdout + result.stderr


def test_versions_are_the_tested_ones():
    tested = dict(
        line.lower().split("==") for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if "==" in line
    )
    assert METADATA["version"] == monai_vqoasis.__version__
    assert METADATA["version"] in METADATA["changelog"]
    main = {name: METADATA[f"{key}_version"] for key, name in (("monai",) * 2, ("pytorch", "torch"), ("numpy",) * 2)}
    required = METADATA["required_packages_version"]
    for name, version in (main | required).items():
        assert tested[name] == version, name
    needed = {need.name for need in map(Requirement, requires("monai_vqoasis")) if need.marker is None}
    assert required.keys() | main.keys() == needed


@pytest.mark.parametrize("config", ["train.json", "inference.json"])
def test_network_input_and_output_are_as_the_metadata_say(bundle, config):
    files = ("--meta_file", bundle / "configs/metadata.json", "--config_file", bundle / "configs" / config)
    result = monai_bundle(bundle, "verify_net_in_out", "network_def", *files, "--bundle_root", bundle)
    assert result.returncode == 0, result.stderr
    assert "data shape of network is verified with no error" in result.stdout + result.stderr


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = write_slices(tmp_path_factory.mktemp("images"), {"test": [1]}, size=(256, 256))
    load = LoadSliced("image")
    return torch.stack([torch.as_tensor(load(i)["image"]) for i in find_images(folder / "keras_png_slices_test")])


@torch.no_grad()
@pytest.mark.parametrize("way", ["script", "trace"])
def test_exported_torchscript_gives_the_same_codes_and_images(bundle, images, way):
    files = {
        "--filepath": bundle / "models" / f"{way}.ts",
        "--ckpt_file": bundle / "models/model.pt",
        "--meta_file": bundle / "configs/metadata.json",
        "--config_file": bundle / "configs/inference.json",
        "--bundle_root": bundle,
    }
    options = [part for option in files.items() for part in option]
    result = monai_bundle(bundle, "ckpt_export", "network_def", *options, *(["--use_trace", True] * (way == "trace")))
    assert result.returncode == 0, result.stderr
    exported, metadata, extra = load_net_with_metadata(files["--filepath"], more_extra_files=["inference.json"])
    assert metadata["network_data_format"] == METADATA["network_data_format"]
    assert b"ResidualVQVAE" in extra["inference.json"]
    network = load_weights(ResidualVQVAE(field_of_view=(152, 184)), bundle / "models/model.pt")
    assert torch.equal(exported(images), network(images))
    if way == "script":
        codes = network.encode(images)
        assert torch.equal(exported.encode(images), codes)
        assert torch.equal(exported.decode(codes, (256, 256)), network(images))


def execute(bundle, work, run):
    """A row of RUNS from beginning to end, as the zoo's unit tests go."""
    workflow_type, weights, settings = RUNS[run]
    names = run.split()
    paths = {"ckpt_dir": work / weights, "output_dir": work / run, "dataset_dir": work / "slices"}
    if names[0] == "inference.json":
        paths["dataset_dir"] = work / "slices" / "keras_png_slices_test"
    elif names[0] in ("generate.json", "export.json"):
        del paths["dataset_dir"]
    elif names[0] == "calibrate.json":
        paths["calibration_path"] = paths.pop("output_dir") / "calibration.pt"
    elif names[0] == "prepare_demo.json":
        paths = {"dataset_dir": work / run}
    workflow = create_workflow(
        config_file=[str(bundle / "configs" / name) for name in names],
        meta_file=str(bundle / "configs/metadata.json"),
        logging_file=str(bundle / "configs/logging.conf"),
        workflow_type=workflow_type,
        **{key: str(path) for key, path in paths.items()},
        **settings,
    )
    assert isinstance(workflow, ConfigWorkflow)
    if workflow_type:
        assert workflow.check_properties() == []
        assert workflow.version == METADATA["version"]
        assert workflow.bundle_root == str(bundle)
    workflow.run()
    workflow.finalize()


@pytest.fixture(scope="module")
def work(bundle, tmp_path_factory):
    """Folder with slices, weights that were trained on them, and results."""
    root = tmp_path_factory.mktemp("work")
    write_slices(root / "slices", {"train": [1, 2, 5, 6], "validate": [3], "test": [4]})
    for run in TRAININGS:
        execute(bundle, root, run)
    return root


@pytest.mark.parametrize("run", RUNS)
def test_every_config_runs_as_a_workflow(bundle, work, run):
    for package in NEEDS.get(run, []):
        pytest.importorskip(package)
    if run not in TRAININGS:
        execute(bundle, work, run)
    assert any((work / run).iterdir())


def test_every_config_is_among_them():
    run = {name for names in RUNS for name in names.split()}
    there = {file.name for file in CONFIGS.glob("*.json")} - {"metadata.json"}
    assert run <= there
    assert {name for name in there - run if not any(fnmatch(name, known) for known in TESTED_ELSEWHERE)} == set()
