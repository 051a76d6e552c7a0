from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tests.bundle.test_bundle import run
from tests.conftest import CONFIGS
from tests.label.images import BAD

# of a volume whose axes point to the top, in steps of 3 mm, the front and the right, tilted by 20 degrees
COSINE, SINE = np.cos(np.pi / 9), np.sin(np.pi / 9)
TILTED = np.array([[0, 0, 1, -9], [-3 * SINE, COSINE, 0, 4], [3 * COSINE, SINE, 0, 5], [0, 0, 0, 1]])


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Slices that nobody has, as every kind of file; some that cannot be read."""
    root = tmp_path_factory.mktemp("label")
    result = run("generate.json", cwd=root, output_dir="drawn", num_samples=4, slice_index="[9,12,18,12]")
    assert result.returncode == 0, result.stderr
    drawn = [np.asarray(Image.open(root / "drawn" / f"generated_seed_{seed}.png")) for seed in range(4)]
    lesion = drawn[1].copy()
    lesion[118:134, 90:104] = 250
    studies = root / "studies"
    studies.mkdir()
    Image.fromarray(lesion).save(studies / "picture.png")
    Image.fromarray(lesion[:, 16:]).save(studies / "case_001_slice_5.nii.png", format="PNG")
    Image.fromarray(drawn[0].astype(np.uint16) * 257).save(studies / "deep.png")
    Image.fromarray(drawn[2]).save(studies / "lossy.jpg")
    nib.save(nib.Nifti1Image(drawn[3], np.diag([-1.0, 1, 1, 1])), studies / "flat.nii.gz")
    nib.save(nib.Nifti1Image(np.stack([drawn[0].T, lesion.T]), TILTED), studies / "volume.nii")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)).save(
        studies / "colour.png"
    )
    (studies / "broken.png").write_bytes((studies / "picture.png").read_bytes()[:2000])
    Image.fromarray(lesion.repeat(2, 0).repeat(2, 1)).save(studies / "large.png")
    shutil.copytree(studies, root / "readable", ignore=shutil.ignore_patterns(*(f"{name}.png" for name in BAD)))
    return root


@pytest.fixture(scope="session")
def by_bundle(folder):
    """What ``monai.bundle run`` writes for a view and settings, by the name of the file."""

    def compute(
        view: str, images: str = "readable", models: Path = CONFIGS.parent / "models", **settings: object
    ) -> Path:
        output_dir = folder / f"{view}_{abs(hash((images, models, *settings.items())))}"
        if not output_dir.is_dir():
            settings |= {"view": view, "dataset_dir": images, "output_dir": output_dir, "ckpt_dir": models}
            result = run("inference.json", cwd=folder, **settings)
            assert result.returncode == 0, result.stderr
        return output_dir

    return compute
