from __future__ import annotations

from pathlib import Path

import pytest

from monai_vqoasis.data import find_images
from monai_vqoasis.errors import InputError


def test_a_folder_a_file_and_nothing(tmp_path):
    names = ["slice_10.png", "slice_2.png", "volume.nii.gz", "case_001_slice_0.nii.png"]
    for name in [*names, "notes.txt", ".hidden.png"]:
        (tmp_path / name).touch()
    found = [Path(item["image"]).name for item in find_images(tmp_path)]
    assert found == ["case_001_slice_0.nii.png", "slice_2.png", "slice_10.png", "volume.nii.gz"]
    assert find_images(tmp_path / "slice_2.png") == [{"image": str(tmp_path / "slice_2.png")}]
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        find_images(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: holds no images"):
        find_images(tmp_path / "empty")
