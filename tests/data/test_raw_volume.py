from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from monai_vqoasis.data.raw_volume import cut_slices, read_volume, slice_positions, to_grey, to_tissue
from monai_vqoasis.errors import InputError
from tests.raw import head, write_analyze

RAS = np.array([[1.0, 0, 0, -88], [0, 1, 0, -123], [0, 0, 1, -75], [0, 0, 0, 1]])


def test_a_voxel_of_a_t88_volume_lands_where_the_release_has_it(tmp_path):
    volume = np.zeros((176, 208, 176), dtype=np.int16)
    # left, front, 5 mm above slice 0; a value that the wrong byte order would make 11265
    volume[20, 180, 72] = 300
    write_analyze(tmp_path / "head.hdr", volume)
    slices = cut_slices(read_volume(tmp_path / "head.hdr"), slice_positions(32, (67, 98)))
    assert slices.shape == (32, 256, 256)
    assert slices[5, 40 + 20, 24 + 180] == 300  # up, right
    assert slices.sum() == 300


@pytest.mark.parametrize("codes", ["LPI", "ASR", "SRA", "PIL"])
def test_nifti_axes_are_turned_by_the_affine(tmp_path, codes):
    rng = np.random.default_rng(0)
    volume = nib.Nifti1Image(rng.integers(0, 900, (41, 50, 60)).astype(np.int16), RAS)
    target = nib.orientations.axcodes2ornt(codes)
    turn = nib.orientations.ornt_transform(nib.io_orientation(RAS), target)
    turned = volume.as_reoriented(turn)
    assert "".join(nib.aff2axcodes(turned.affine)) == codes
    nib.save(turned, tmp_path / "head.nii.gz")
    read = read_volume(tmp_path / "head.nii.gz")
    assert torch.equal(torch.as_tensor(read)[0], torch.from_numpy(volume.get_fdata(dtype=np.float32)))
    middle = cut_slices(read, [88])[0]  # 176 planes, 60 of them from 58 on
    assert np.array_equal(middle[107:148, 103:153], np.asarray(volume.dataobj)[..., 30])
    assert middle.sum() == np.asarray(volume.dataobj, dtype=int)[..., 30].sum()


def test_other_voxel_sizes_become_millimetres(tmp_path):
    volume = np.zeros((20, 30, 40), dtype=np.float32)
    volume[5:15, 10:20, 10:30] = 1
    nib.save(nib.Nifti1Image(volume, np.diag([2, 1.5, 0.5, 1])), tmp_path / "head.nii")
    read = torch.as_tensor(read_volume(tmp_path / "head.nii"))
    extent = [int((read[0].amax([a for a in range(3) if a != axis]) > 0.5).sum()) for axis in range(3)]
    assert np.abs(np.array(extent) - [20, 15, 10]).max() <= 1
    labels = read_volume(tmp_path / "head.nii", labels=True)
    assert set(labels.unique().tolist()) == {0, 1}


def test_larger_heads_are_cut_in_the_middle(tmp_path):
    volume = np.zeros((260, 300, 200), dtype=np.uint8)
    volume[130, 150, 100] = 9
    nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "head.nii")
    slices = cut_slices(read_volume(tmp_path / "head.nii"), range(176))
    assert (slices == 9).nonzero().tolist() == [[88, 128, 128]]


def no_orientation(path):
    image = nib.Nifti1Image(np.ones((4, 4, 4)), np.eye(4))
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    nib.save(image, path)


def flat_affine(path):
    image = nib.Nifti1Image(np.ones((4, 4, 4)), np.eye(4))
    image.header["srow_z"] = 0
    image.header["sform_code"] = 1
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4)), None, image.header), path)


def four_dimensions(path):
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4, 2)), np.eye(4)), path)


def not_finite(path):
    nib.save(nib.Nifti1Image(np.full((4, 4, 4), np.nan), np.eye(4)), path)


def cut_short(path):
    four_dimensions(path)
    path.write_bytes(path.read_bytes()[:-8])


def not_t88(path):
    write_analyze(path, np.ones((176, 208, 17)))


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (no_orientation, "a.nii", "does not say how it is oriented"),
        (flat_affine, "a.nii", "its orientation is not known"),
        (four_dimensions, "a.nii", r"expected a 3D volume, got shape \(4, 4, 4, 2\)"),
        (not_finite, "a.nii", "not finite"),
        (cut_short, "a.nii", "is no readable NIfTI volume, or is cut short"),
        (not_t88, "a.hdr", r"expected a T88_111 volume of 176x208x176 voxels, got shape \(176, 208, 17, 1\)"),
        (lambda path: path.write_text("text"), "a.hdr", "is no readable ANALYZE volume"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, make, name, message):
    make(tmp_path / name)
    with pytest.raises(InputError, match=message) as caught:
        read_volume(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_a_percentile_of_the_person_is_white():
    volume = torch.as_tensor(head(3)[None].astype(np.float32))
    white = np.percentile(volume[volume > 0], 90)
    grey = to_grey(cut_slices(volume, [70, 90]), volume, 90)
    inside = volume[0, :, :, [70, 90]].movedim(-1, 0).numpy()
    assert np.array_equal(grey[:, 40:216, 24:232], np.rint(np.clip(inside * (255 / white), 0, 255)).astype(np.uint8))
    assert not grey[:, :40].any() and not grey[:, :, 232:].any()
    with pytest.raises(InputError, match="nothing in it is above 0"):
        to_grey(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4, 4))


def test_tissue_has_the_releases_levels():
    assert to_tissue(torch.tensor([0.0, 1, 2, 3])).tolist() == [0, 85, 170, 255]
    with pytest.raises(InputError, match="other than the tissue classes 0 to 3"):
        to_tissue(torch.tensor([0.0, 4]))


def test_slices_lie_evenly_in_the_range():
    assert slice_positions(32, (67, 98)) == list(range(67, 99))
    assert slice_positions(4, [60, 90]) == [60, 70, 80, 90]
    for num_slices, z_range, message in (
        (32, (67, 97), "1 to 31"),
        (2, (0, 176), "0 and 175"),
        (1, (9, 8), "0 and 175"),
    ):
        with pytest.raises(InputError, match=message):
            slice_positions(num_slices, z_range)
