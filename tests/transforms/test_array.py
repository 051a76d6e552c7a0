from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from monai_vqoasis.errors import InputError
from monai_vqoasis.transforms import LoadSlice, LoadSliced, OrientVolumed, SaveSlice, SaveSliced, ToViewerAxesd


def ramp(dtype, shape=(5, 9)):
    top = np.iinfo(dtype).max
    return np.linspace(0, top, int(np.prod(shape))).reshape(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", ["case_001_slice_0.nii.png", "slice.png", "without_suffix"])
def test_a_png_that_is_not_square_makes_the_round_trip(tmp_path, dtype, name):
    pixels = ramp(dtype)
    Image.fromarray(pixels).save(tmp_path / name, format="PNG")
    image = LoadSlice()(tmp_path / name)
    assert image.shape == (1, 5, 9)  # rows, columns: not transposed
    assert image.dtype == torch.float32
    assert np.allclose(image[0].numpy(), pixels / np.iinfo(dtype).max, atol=1e-7)
    written = SaveSlice(tmp_path / "out")(image)
    assert written.name == name.removesuffix(".png").removesuffix(".nii") + "_reconstruction.png"
    assert np.array_equal(np.asarray(Image.open(written)), pixels)


@pytest.mark.parametrize(("dtype", "intensity_max"), [(np.uint16, 4095), (np.uint8, 200), (np.uint8, 1000)])
def test_a_white_that_is_named_is_white_again_when_written(tmp_path, dtype, intensity_max):
    pixels = np.linspace(0, min(intensity_max, 255 if dtype == np.uint8 else 65535), 45).reshape(5, 9).astype(dtype)
    Image.fromarray(pixels).save(tmp_path / "slice.png")
    image = LoadSlice(intensity_max)(tmp_path / "slice.png")
    assert image.max() == pytest.approx(pixels.max() / intensity_max)
    assert np.array_equal(np.asarray(Image.open(SaveSlice(tmp_path / "out")(image))), pixels)


def test_black_and_white_becomes_grey(tmp_path):
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "slice.png")
    image = LoadSlice()(tmp_path / "slice.png") / 2
    assert np.asarray(Image.open(SaveSlice(tmp_path / "out")(image))).tolist() == [[0, 128]]


def test_a_dark_image_stays_dark(tmp_path):
    Image.fromarray(np.full((4, 4), 51, np.uint8)).save(tmp_path / "dark.png")
    assert torch.allclose(torch.as_tensor(LoadSlice()(tmp_path / "dark.png")), torch.tensor(0.2))


def test_grey_saved_as_colour_is_read_and_colour_is_refused(tmp_path):
    pixels = ramp(np.uint8)
    grey = Image.fromarray(pixels)
    for mode in ("RGB", "RGBA", "LA"):
        grey.convert(mode).save(tmp_path / f"{mode}.png")
        assert np.allclose(LoadSlice()(tmp_path / f"{mode}.png")[0].numpy(), pixels / 255, atol=1e-7)
    # a palette's indices are not grey values
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    palette.putpalette([200, 200, 200, 10, 10, 10])
    palette.save(tmp_path / "palette.png")
    assert np.allclose(LoadSlice()(tmp_path / "palette.png")[0].numpy() * 255, [[200, 10]], atol=1e-4)
    Image.new("RGB", (4, 4), (200, 0, 0)).save(tmp_path / "red.png")
    with pytest.raises(InputError, match=r"red\.png: is a colour picture"):
        LoadSlice()(tmp_path / "red.png")
    Image.new("RGBA", (4, 4), (9, 9, 9, 0)).save(tmp_path / "clear.png")
    with pytest.raises(InputError, match=r"clear\.png: has transparent pixels"):
        LoadSlice()(tmp_path / "clear.png")


AFFINE = np.array([[0, 0, -1.5, 30], [0.9, 0, 0, -20], [0, 1.1, 0, 5], [0, 0, 0, 1.0]])


@pytest.mark.parametrize(("dtype", "intensity_max"), [(np.uint8, None), (np.int16, 1200), (np.float32, 1200)])
@pytest.mark.parametrize("name", ["volume.nii", "volume.nii.gz"])
def test_a_nifti_volume_keeps_grid_affine_and_type(tmp_path, dtype, intensity_max, name):
    volume = np.random.default_rng(0).uniform(0, intensity_max or 255, (6, 7, 4)).astype(dtype)
    nib.save(nib.Nifti1Image(volume, AFFINE), tmp_path / name)
    chain = [LoadSliced("image", intensity_max), OrientVolumed("image", "RAS", labels=None)]
    data = {"image": str(tmp_path / name)}
    for transform in chain:
        data = transform(data)
    assert data["image"].shape == (1, 4, 6, 7)  # right, anterior, superior
    assert nib.aff2axcodes(data["image"].affine.numpy()) == ("R", "A", "S")
    assert 0 <= data["image"].min() <= data["image"].max() <= 1
    data = SaveSliced("image", tmp_path / "out")(chain[1].inverse(data))
    written = nib.load(data["image_path"])
    assert written.get_data_dtype() == dtype
    assert np.allclose(written.affine, AFFINE)
    assert np.allclose(written.get_fdata(), volume, atol=1e-3 * (intensity_max or 1))


def test_a_nifti_slice_keeps_its_axes(tmp_path):
    pixels = ramp(np.uint8)
    for name, array in (("flat.nii", pixels), ("thin.nii", pixels[..., None]), ("four.nii", pixels[..., None, None])):
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / name)
        image = LoadSlice()(tmp_path / name)
        assert image.shape == ((1, 5, 9) if name == "flat.nii" else (1, 5, 9, 1))
        written = nib.load(SaveSlice(tmp_path / "out")(image))
        assert written.shape == array.shape
        assert np.array_equal(np.asarray(written.dataobj), array)


def test_a_volume_of_one_slice_is_turned_as_a_volume_of_two_is(tmp_path):
    pixels = ramp(np.uint8, (5, 9, 2))
    turned = []
    for number in (1, 2):
        nib.save(nib.Nifti1Image(pixels[..., :number], np.diag([-1.0, -1, 1, 1])), tmp_path / "volume.nii")
        data = {"image": LoadSlice()(tmp_path / "volume.nii")}
        turned.append(OrientVolumed("image", "RAS", labels=None)(data)["image"][..., 0])
    assert torch.equal(*turned)
    assert np.allclose(turned[0][0].numpy() * 255, pixels[::-1, ::-1, 0])


def test_a_range_that_is_not_known_is_asked_for(tmp_path):
    nib.save(nib.Nifti1Image(ramp(np.int16), np.eye(4)), tmp_path / "mri.nii")
    with pytest.raises(InputError, match=r"mri\.nii: holds int16 values from 0 to 32767.*--intensity_max"):
        LoadSlice()(tmp_path / "mri.nii")
    assert LoadSlice(intensity_max=100)(tmp_path / "mri.nii").max() == 1
    with pytest.raises(InputError, match="positive"):
        LoadSlice(intensity_max=0)


@pytest.mark.parametrize("content", [b"", b"a text", b"\x89PNG\r\n\x1a\n"])
@pytest.mark.parametrize("name", ["bad.png", "bad.nii", "bad.nii.gz"])
def test_what_cannot_be_read_is_named(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        LoadSlice()(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_a_flipped_bit_is_told_or_does_not_matter(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9)).astype(np.uint8)
    path = tmp_path / "slice.png"
    Image.fromarray(pixels).save(path)
    whole, told = path.read_bytes(), 0
    for bit in range(8 * len(whole)):
        path.write_bytes(whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8]) + whole[bit // 8 + 1 :])
        try:
            image = LoadSlice()(path)
        except InputError as error:
            assert str(error).startswith(f"{path}: ")
            told += 1
        else:
            assert np.array_equal((image[0].numpy() * 255).round(), pixels)
    assert told > 0.9 * 8 * len(whole)


def test_two_results_of_one_name_are_not_written_over_each_other(tmp_path):
    saver = SaveSlice(tmp_path / "out")
    for name in ("a.png", "a.nii.png"):
        Image.fromarray(ramp(np.uint8)).save(tmp_path / name)
    image = LoadSlice()(tmp_path / "a.png")
    assert saver(image) == saver(image)
    with pytest.raises(InputError, match=r"a\.nii\.png: .*a\.png; rename one"):
        saver(LoadSlice()(tmp_path / "a.nii.png"))


def test_missing_and_not_finite_are_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.png: no such file"):
        LoadSlice()(tmp_path / "gone.png")
    nib.save(nib.Nifti1Image(np.array([[0.0, np.nan]]), np.eye(4)), tmp_path / "nan.nii")
    with pytest.raises(InputError, match=r"nan\.nii: holds values that are not finite"):
        LoadSlice()(tmp_path / "nan.nii")


def test_a_viewer_has_x_first_and_slices_of_nifti_have_a_place(tmp_path):
    pixels = ramp(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "slice.png")
    nib.save(nib.Nifti1Image(pixels, AFFINE), tmp_path / "flat.nii")
    nib.save(nib.Nifti1Image(ramp(np.uint8, (5, 9, 3)), AFFINE), tmp_path / "volume.nii")
    for name, shape in (("slice.png", (9, 5)), ("flat.nii", (5, 9, 1)), ("volume.nii", (5, 9, 3))):
        image = LoadSlice()(tmp_path / name)
        viewed = ToViewerAxesd("image")({"image": image})["image"]
        assert viewed.shape == shape
        assert torch.equal(viewed.affine, image.affine)
        values = np.squeeze(image.numpy())
        assert np.array_equal(np.squeeze(viewed.numpy()), values.T if name == "slice.png" else values)
