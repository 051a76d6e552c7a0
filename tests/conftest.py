"""Small synthetic slices in the release's layout, and the real ones where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIGS = REPOSITORY / "bundle" / "configs"


def write_slices(root: Path, cases: dict[str, list[int]], slices: int = 3, size: tuple[int, int] = (40, 48)) -> Path:
    """Blobs on black, a function of case and slice index, as a dataset folder."""
    rows, columns = np.mgrid[: size[0], : size[1]] / np.array(size).reshape(2, 1, 1)
    for section, numbers in cases.items():
        folder = root / f"keras_png_slices_{section}"
        folder.mkdir(parents=True)
        for number in numbers:
            rng = np.random.default_rng(number)
            for index in range(slices):
                centre = rng.uniform(0.35, 0.65, 2)
                distance = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2
                image = np.where(distance < 0.08, 120 + 100 * np.cos(rng.uniform(10, 25) * distance), 0)
                Image.fromarray(image.astype(np.uint8)).save(
                    folder / f"case_{number:03d}_slice_{index}.nii.png", format="PNG"
                )
    return root


@pytest.fixture
def dataset_dir(tmp_path: Path) -> Path:
    return write_slices(tmp_path / "slices", {"train": [1, 2, 10], "validate": [3], "test": [4]})


@pytest.fixture(scope="session")
def oasis_dir() -> Path:
    """Real slices: the folder named by OASIS_DIR, or one beside the repository."""
    default = REPOSITORY.parent / "shared" / "data" / "oasis" / "keras_png_slices_data"
    folder = Path(os.environ.get("OASIS_DIR", default))
    if not folder.is_dir():
        pytest.skip("no real OASIS slices here (set OASIS_DIR)")
    return folder


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
