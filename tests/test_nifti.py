from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest

from monai_vqoasis.errors import InputError
from monai_vqoasis.nifti import load_nifti

VOXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 2)).astype(np.uint8)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "b.nii"])
def test_an_image_is_read_whatever_its_packing_is_called(tmp_path, kind, name):
    affine = np.diag([2.0, 3, 4, 1])
    image = kind(VOXELS, affine)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"an extension"))
    content = image.to_bytes()
    (tmp_path / name).write_bytes(content if name == "a.nii" else gzip.compress(content))
    volume = load_nifti(tmp_path / name)
    assert np.array_equal(np.asarray(volume.dataobj), VOXELS)
    assert np.array_equal(volume.affine, affine)
    assert len(volume.header.extensions) == 1


def test_a_flipped_bit_of_a_packed_file_is_told_or_does_not_matter(tmp_path):
    path = tmp_path / "a.nii.gz"
    whole, told = gzip.compress(nib.Nifti1Image(VOXELS, np.eye(4)).to_bytes(), mtime=0), 0
    for bit in range(8 * len(whole)):
        path.write_bytes(whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8]) + whole[bit // 8 + 1 :])
        try:
            volume = load_nifti(path)
        except InputError as error:
            assert str(error).startswith(f"{path}: ")
            told += 1
        else:
            assert np.array_equal(np.asarray(volume.dataobj), VOXELS)
            assert np.array_equal(volume.affine, np.eye(4))
    assert told > 0.8 * 8 * len(whole)


def test_what_is_declared_is_not_allocated(tmp_path):
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    for shape, sentence in (((800, 800, 800), "is cut short"), ((900, 900, 900), "more than any head needs")):
        header = image.header.copy()
        header.set_data_shape(shape)
        (tmp_path / "huge.nii.gz").write_bytes(gzip.compress(header.binaryblock + bytes(12)))
        with pytest.raises(InputError, match=sentence):
            load_nifti(tmp_path / "huge.nii.gz")
