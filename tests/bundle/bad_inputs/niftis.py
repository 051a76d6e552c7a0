"""NIfTI files that are damaged, or are no slices or heads."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.bundle.bad_inputs.pictures import file_case, flipped, ramp
from tests.bundle.bad_inputs.runs import Case, Check, World

VOLUME = ramp(shape=(6, 5, 4)).astype(np.uint8)


def nifti(array: np.ndarray, affine: np.ndarray | None = None, change: Callable | None = None, kind=nib.Nifti1Image):
    """Bytes of a NIfTI file, its header changed as no library would."""
    image = kind(array, np.eye(4) if affine is None else affine)
    content = image.to_bytes()
    if change is None:
        return content
    size = image.header.sizeof_hdr
    raw = np.frombuffer(content[:size], image.header.template_dtype)[0].copy()
    change(raw)
    return raw.tobytes() + content[size:]


def field(name: str, value: object, index: object = ()) -> Callable:
    def change(raw: np.void) -> None:
        if index == ():
            raw[name] = value
        else:
            raw[name][index] = value

    return change


def same_volume(file: str, shape: tuple[int, ...], low: float | None = None, high: float | None = None) -> Check:
    """The result is of this shape, finite and inside of these bounds."""

    def check(world: World, out: Path) -> None:
        values = nib.load(out / file).get_fdata()
        assert values.shape == shape
        assert np.isfinite(values).all()
        assert low is None or values.min() >= low
        assert high is None or values.max() <= high

    return check


def niftis() -> Iterator[Case]:
    plain = nifti(VOLUME)
    packed = gzip.compress(plain, mtime=0)
    damaged = ("cut short",)
    for suffix, content in ((".nii", plain), (".nii.gz", packed)):
        yield file_case(f"an empty {suffix}", b"", f"v{suffix}", "is empty")
        for share in (0.05, 0.5, 0.8, 0.99):
            at = int(share * len(content))
            yield file_case(f"{suffix} cut at {share:.0%}", content[:at], f"v{suffix}", *damaged)
        yield file_case(f"{suffix} without its last byte", content[:-1], f"v{suffix}", *damaged)
        yield file_case(f"text called {suffix}", b"no voxels\n" * 50, f"v{suffix}", *damaged)
    rng = random.Random(0)
    for position in sorted(rng.sample(range(10, len(packed)), 10)):
        name = f"a .nii.gz with a bit flipped in byte {position}"
        yield file_case(name, flipped(packed, position), "v.nii.gz", *damaged)
    changes = {
        "no magic": ("magic", b"zip"), "magic of a pair": ("magic", b"ni1"),
        "unknown datatype": ("datatype", 77), "datatype 0": ("datatype", 0), "no axis": ("dim", 0, 0),
        "nine axes": ("dim", 9, 0), "no rows": ("dim", 0, 1), "no slices": ("dim", 0, 3),
        "negative rows": ("dim", -6, 1), "voxels before the header's end": ("vox_offset", 10),
        "voxels at NaN": ("vox_offset", np.nan), "voxels far away": ("vox_offset", 1e9),
        "voxels at a negative byte": ("vox_offset", -400),
        "infinite intercept": ("scl_inter", -np.inf),
    }  # fmt: skip
    result = "v_reconstruction.nii"
    for name, change in {"sizeof_hdr 100": ("sizeof_hdr", 100), "an infinite slope": ("scl_slope", np.inf)}.items():
        content = nifti(VOLUME, change=field(*change))  # which readers pass over
        yield file_case(f"a .nii with {name}", content, "v.nii", check=same_volume(result, (6, 5, 4), 0, 255))
    for name, change in changes.items():
        # an intercept alone is no scaling
        both = [field(*change)] + ([field("scl_slope", 1)] if "intercept" in name else [])
        content = nifti(VOLUME, change=lambda raw, both=both: [change(raw) for change in both])
        yield file_case(f"a .nii with {name}", content, "v.nii")
        if "axis" in name or "rows" in name:
            yield file_case(f"a .nii.gz with {name}", gzip.compress(content), "v.nii.gz")
    for dims in ((32767, 32767, 32767), (2000, 2000, 2000), (700, 700, 700)):
        content = nifti(VOLUME, change=lambda raw, dims=dims: raw["dim"].__setitem__(slice(1, 4), dims))
        for file, bytes_ in (("v.nii", content), ("v.nii.gz", gzip.compress(content))):
            yield file_case(f"{file} that declares {dims}", bytes_, file, "declares a shape|cut short")
    endless = gzip.compress(plain + bytes(3_000_000))
    yield file_case("a .nii.gz that does not end", endless, "v.nii.gz", *damaged)
    for where, value in (((0, 0), np.nan), ((1, 3), np.inf)):
        affine = np.eye(4)
        affine[where] = value
        content = nifti(VOLUME, change=lambda raw, a=affine: [
            raw["srow_x"].__setitem__(slice(None), a[0]), raw["srow_y"].__setitem__(slice(None), a[1]),
        ])  # fmt: skip
        yield file_case(f"an affine with {value}", content, "v.nii", "affine")
    flat = np.diag([1.0, 0, 1, 1])
    content = nifti(VOLUME, change=lambda raw: raw["srow_y"].__setitem__(slice(None), flat[1]))
    for verb in ("reconstruct", "score"):
        yield file_case("an affine without an inverse", content, "v.nii", "affine", verb=verb)
    for value in (np.nan, np.inf, -np.inf):
        voxels = VOLUME / np.float32(255)
        voxels[2, 2, 2] = value
        for verb in ("reconstruct", "score"):
            yield file_case(f"a voxel of {value}", nifti(voxels), "v.nii", "not finite", verb=verb)
    yield file_case("a value beyond float32", nifti(VOLUME * 1e300), "v.nii", "not finite", intensity_max=1.0)
    yield file_case("complex voxels", nifti(VOLUME.astype(np.complex64)), "v.nii", "complex64")
    rgb = np.zeros(VOLUME.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    yield file_case("voxels in colour", nifti(rgb), "v.nii", "grey values")
    signed = (VOLUME.astype(np.int16) - 100) * 5
    yield file_case("negative voxels of unknown white", nifti(signed), "v.nii", "--intensity_max")
    yield file_case("all voxels 7, of unknown white", nifti(signed * 0 + 7), "v.nii", "--intensity_max")
    yield file_case(
        "negative voxels", nifti(signed), "v.nii", check=same_volume(result, (6, 5, 4), 0, 700), intensity_max=700
    )
    yield file_case("all voxels 0", nifti(signed * 0), "v.nii", check=same_volume(result, (6, 5, 4), 0, 1))
    tiny = nifti(np.full((3, 3, 3), 1e-5, np.float32))
    yield file_case("voxels that would be black", tiny, "v.nii", "would be black")
    labels = nifti((VOLUME // 64).astype(np.uint16))
    yield file_case("labels of 16 bits", labels, "v.nii", "would be black")
    for shape in ((1, 1, 1), (1, 1), (5, 1), (1, 1, 3), (5, 4, 1, 1)):
        voxels = nifti(np.full(shape, 99, np.uint8))
        for verb, after in (("reconstruct", "reconstruction"), ("score", "anomaly")):
            check = same_volume(f"v_{after}.nii", shape, 0)
            yield file_case(f"voxels {shape}", voxels, "v.nii", verb=verb, check=check)
    yield file_case("one axis", nifti(np.arange(9, dtype=np.uint8)), "v.nii", "2D or 3D")
    yield file_case("a film", nifti(np.zeros((4, 4, 3, 2), np.uint8)), "v.nii", "2D or 3D")
    yield file_case("vectors", nifti(np.zeros((4, 4, 3, 1, 3), np.uint8)), "v.nii", "2D or 3D")
    big_endian = nib.Nifti1Image(VOLUME, np.eye(4), nib.Nifti1Header(endianness=">"), dtype=np.uint8).to_bytes()
    for name, content in (
        ("big-endian", big_endian), ("NIfTI-2", nifti(VOLUME, kind=nib.Nifti2Image)), ("packed, called .nii", packed),
        ("slope NaN, which means none", nifti(VOLUME, change=field("scl_slope", np.nan))),
    ):  # fmt: skip
        yield file_case(name, content, "v.nii", check=same_volume(result, (6, 5, 4), 0, 255))
    check = same_volume(f"{result}.gz", (6, 5, 4), 0, 255)
    yield file_case("not packed, called .nii.gz", plain, "v.nii.gz", check=check)
    for suffix in (".mgz", ".hdr", ".img", ".dcm", ".npy"):
        yield file_case(f"a {suffix}", plain[:348], f"v{suffix}", "is neither a picture")
