"""Raw OASIS-1 to slices, run as users run it."""

from __future__ import annotations

import csv

import numpy as np
from PIL import Image

from monai_vqoasis.data import OASISSliceDataset, load_cdr
from monai_vqoasis.transforms import LoadSliced
from tests.bundle.test_bundle import run
from tests.raw import TABLE, head, t88_stem, write_analyze, write_person


def test_raw_oasis_becomes_a_dataset(tmp_path):
    disc = tmp_path / "raw" / "disc1"
    for session, images in (("OAS1_0001_MR1", "n4"), ("OAS1_0002_MR1", "n3"), ("OAS1_0002_MR2", "n4")):
        write_person(disc, session, int(session[8]), images)
    write_analyze(t88_stem(disc, "OAS1_0440_MR1"), head(440)[..., :100])
    (tmp_path / "raw" / "oasis_cross-sectional.csv").write_text(TABLE)
    settings = {"raw_dir": "raw", "dataset_dir": "slices", "sections": "{'train': 0.5, 'test': 0.5}"}
    result = run("prepare_oasis.json", cwd=tmp_path, **settings)
    assert result.returncode == 0, result.stdout + result.stderr
    for line in (
        "2 people with 32 slices",
        "1 repeat scans (MR2) left out",
        "OAS1_0440_MR1: expected a T88_111 volume",
    ):
        assert line in result.stdout
    assert result.stdout.splitlines()[-1] == f"slices: {tmp_path / 'slices'}"
    with (tmp_path / "slices" / "participants.tsv").open() as file:
        rows = {row["case"]: row for row in csv.DictReader(file, delimiter="\t")}
    assert set(rows) == {"case_001", "case_002"}
    assert load_cdr(tmp_path / "slices" / "participants.tsv") == {"case_001": 1}
    for case, row in rows.items():
        items = list(OASISSliceDataset(tmp_path / "slices", row["section"], LoadSliced("image"), progress=False))
        mine = [item for item in items if item["case"] == case]
        assert [item["slice_index"] for item in mine] == list(range(32))
        mask = np.asarray(
            Image.open(
                tmp_path / "slices" / f"keras_png_slices_seg_{row['section']}" / f"seg_{case[5:]}_slice_0.nii.png"
            )
        )
        assert set(np.unique(mask)) == {0, 85, 170, 255}
        assert np.array_equal(np.asarray(mine[0]["image"])[0] > 0, mask > 0)


def test_a_missing_folder_ends_in_one_line(tmp_path):
    result = run("prepare_oasis.json", cwd=tmp_path, raw_dir="nowhere", dataset_dir="slices")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: nowhere: no such folder; raw_dir must hold OASIS-1")
    assert not list(tmp_path.iterdir())
