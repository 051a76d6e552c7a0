"""Bad input of every kind ends in one line that names the file or key, or in a right result; and nothing by halves."""

from __future__ import annotations

import csv
import re
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_vqoasis.errors import UserError, find_user_error
from tests.bundle.bad_inputs import ABSENT, VERBS, Case, World, all_cases, make_world
from tests.conftest import CONFIGS

CASES = all_cases()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = make_world(tmp_path_factory.mktemp("world"))
    run(world, world.slices.parent, "calibrate", {"calibration_path": world.models / "calibration.pt"})
    return world


def run(world: World, folder: Path, verb: str, settings: dict[str, object]) -> None:
    """What ``python -m monai.bundle run`` does, in this process."""
    config, base = VERBS[verb]
    settings = {"config_file": CONFIGS / config, **base(world, folder), **settings}
    files = settings.pop("config_file")
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in settings.items()}
    workflow = ConfigWorkflow(
        [str(file) for file in files] if isinstance(files, list) else str(files),
        meta_file=str(CONFIGS / "metadata.json"),
        logging_file=False,
        workflow_type=None,
        **{key: value for key, value in settings.items() if value is not ABSENT},
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
