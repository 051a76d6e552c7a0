"""Bad input of every kind: what is wrong, and what a run with it must end in."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import os
import pickle
import random
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from PIL import Image

from monai_vqoasis.networks import VQVAE, GatedPixelCNN, PixelCNN, ResidualVQVAE
from tests.conftest import CONFIGS, write_slices

SIZE = (16, 24)
SMALL = {
    "channels": [4, 8], "encoder_blocks": [0, 1], "decoder_blocks": [0, 1], "embedding_dim": 4, "num_embeddings": 16,
    "field_of_view": list(SIZE), "resampled_size": list(SIZE),
}  # fmt: skip
SMALL_PRIOR = {
    "num_embeddings": 16, "shape": [4, 4], "channels": 8, "hidden_channels": 4, "dilations": [1],
    "conditions": {"slice_index": 3, "cdr": 5},
}  # fmt: skip
WHOLE_IMAGE = {"_target_": "monai_vqoasis.networks.ResidualVQVAE", **SMALL, "field_of_view": None}
VQVAE_DEF = {"_target_": "monai_vqoasis.networks.ResidualVQVAE", **SMALL}
PRIOR_DEF = {"_target_": "monai_vqoasis.networks.GatedPixelCNN", **SMALL_PRIOR}
PAIR = {"network_def": VQVAE_DEF, "prior_def": PRIOR_DEF}
SHORT = {"max_epochs": 1, "batch_size": 4, "roi_size": list(SIZE), "max_shift": 0, "warmup_steps": 1}

Make = Callable[["World", Path], dict[str, object]]
Check = Callable[["World", Path], None]


@dataclass(frozen=True)
class World:
    """What is right: slices of five people, and a trained pair with its calibration."""

    slices: Path
    models: Path

    @property
    def picture(self) -> Path:
        return self.slices / "keras_png_slices_test" / "case_004_slice_0.nii.png"


def make_world(root: Path) -> World:
    write_slices(root / "slices", {"train": [1, 2], "validate": [3, 5], "test": [4]}, size=SIZE)
    torch.manual_seed(0)
    vqvae, prior = ResidualVQVAE(**SMALL), GatedPixelCNN(**SMALL_PRIOR)
    prior.pair_with(vqvae, (2, 3))
    (root / "models").mkdir()
    torch.save(vqvae.state_dict(), root / "models" / "model.pt")
    torch.save(prior.state_dict(), root / "models" / "model_prior.pt")
    return World(root / "slices", root / "models")


# a verb's configs, and the settings that a user would give
VERBS: dict[str, tuple[str, Callable[[World, Path], dict[str, object]]]] = {
    "train": ("train.json", lambda w, f: {
        "dataset_dir": w.slices, "ckpt_dir": f / "out", "output_dir": f / "out", "network_def": VQVAE_DEF, **SHORT,
    }),
    "train_prior": ("train_prior.json", lambda w, f: {
        "dataset_dir": w.slices, "ckpt_dir": f / "out", "output_dir": f / "out", "num_variants": 1,
        "vqvae_path": w.models / "model.pt", "vqvae_def": VQVAE_DEF, "network_def": PRIOR_DEF, **SHORT,
    }),
    "reconstruct": ("inference.json", lambda w, f: {
        "dataset_dir": w.slices / "keras_png_slices_test", "ckpt_dir": w.models, "output_dir": f / "out", **PAIR,
    }),
    "score": ("inference.json", lambda w, f: {
        "dataset_dir": w.slices / "keras_png_slices_test", "ckpt_dir": w.models, "output_dir": f / "out",
        "view": "anomaly", "num_restorations": 1, **PAIR,
    }),
    "generate": ("generate.json", lambda w, f: {
        "ckpt_dir": w.models, "output_dir": f / "out", "num_samples": 2, "image_size": list(SIZE), **PAIR,
    }),
    "evaluate": ("evaluate.json", lambda w, f: {
        "dataset_dir": w.slices, "ckpt_dir": w.models, "output_dir": f / "out", "num_samples": 2,
        "samples_per_position": 1, "codec_slices": 1, **PAIR,
    }),
    "calibrate": ("calibrate.json", lambda w, f: {
        "dataset_dir": w.slices, "ckpt_dir": w.models, "calibration_path": f / "out" / "calibration.pt",
        "num_restorations": 1, **PAIR,
    }),
    "export": ("export.json", lambda w, f: {
        "ckpt_dir": w.models, "output_dir": f / "out", "num_samples": 2, "image_size": list(SIZE), **PAIR,
    }),
    "prepare_demo": ("prepare_demo.json", lambda w, f: {
        "dataset_dir": f / "out", "num_train": 1, "num_validate": 1, "num_test": 1,
    }),
    "prepare_oasis": ("prepare_oasis.json", lambda w, f: {
        "raw_dir": f / "raw", "dataset_dir": f / "out", "num_workers": 0,
        "sections": {"train": 1.0, "validate": 0.0, "test": 0.0},
    }),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One run.

    Attributes:
        name: what is wrong.
        verb: see :data:`VERBS`.
        make: writes what is wrong into a folder of its own and returns the settings that name it.
        error: words of the one line that the run must end in; None where it must succeed.
        check: of the folder ``out`` of a run that must succeed: that the result is right.
    """

    name: str
    verb: str
    make: Make
    error: tuple[str, ...] | None = None
    check: Check | None = None


def all_cases() -> list[Case]:
    parts = (
        pictures(), niftis(), places(), folders(), tables(), checkpoints(), kinds(), more_kinds(), bounds(), absent(),
        keys(), outputs(), raw_folders(),
    )  # fmt: skip
    return list(itertools.chain(*parts))


# --- files -----------------------------------------------------------------------------------------------------------


def ramp(top: int = 255, shape: tuple[int, ...] = SIZE) -> np.ndarray:
    return np.linspace(0, top, int(np.prod(shape))).reshape(shape).round()


def encoded(array: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = array if isinstance(array, Image.Image) else Image.fromarray(array)
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


NOISE = np.random.default_rng(0).normal(0, 6, SIZE)
GREY = encoded((ramp(220) + 15 + NOISE).clip(0, 255).astype(np.uint8))


def flipped(content: bytes, position: int, bit: int = 3) -> bytes:
    return content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]


def declaring(width: int, height: int, content: bytes = GREY) -> bytes:
    """A PNG whose header, with the right checksum, declares another size than its pixels fill."""
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def file_case(
    name: str, content: bytes, file: str, *error: str, verb: str = "reconstruct", check: Check | None = None, **more
) -> Case:
    """A run on a single file; ``error`` names the file, and holds these words."""

    def make(world: World, folder: Path) -> dict[str, object]:
        (folder / file).write_bytes(content)
        return {"dataset_dir": folder / file, **more}

    words = None if check else (file.split("\n")[0], *error)
    return Case(f"{verb}: {name}", verb, make, words, check)


def shows(file: str, pixels: np.ndarray | None = None, shape: tuple[int, ...] = SIZE, dtype=np.uint8) -> Check:
    """The result is a picture of this size and type, and what these pixels become through the codes."""

    def check(world: World, out: Path) -> None:
        with Image.open(out / file) as picture:
            written = np.asarray(picture)
        assert written.shape == shape
        assert written.dtype == dtype
        if pixels is not None:
            expected = through_the_codes(world, pixels)
            assert np.abs(written.astype(float) - expected * np.iinfo(dtype).max).max() <= 1

    return check


def through_the_codes(world: World, pixels: np.ndarray) -> np.ndarray:
    network = ResidualVQVAE(**SMALL)
    network.load_state_dict(torch.load(world.models / "model.pt", weights_only=True))
    with torch.no_grad():
        return network.eval()(torch.from_numpy(pixels).float()[None, None])[0, 0].clamp(0, 1).numpy()


def pictures() -> Iterator[Case]:
    damaged = ("damaged or cut short",)
    unknown = ("is neither a picture",)
    yield file_case("an empty png", b"", "empty.png", "is empty")
    yield file_case("a png's signature alone", GREY[:8], "signature.png", *unknown)
    for share in (0.1, 0.3, 0.6, 0.95):
        at = int(share * len(GREY))
        yield file_case(f"a png cut at {share:.0%}", GREY[:at], "cut.png", *damaged if at > 50 else ())
    rng = random.Random(0)
    for position in sorted(rng.sample(range(8, len(GREY) - 12), 12)):
        yield file_case(f"a png with a bit flipped in byte {position}", flipped(GREY, position), "flip.png")
    yield file_case("a png with a bit flipped in its signature", flipped(GREY, 1), "flip.png", *unknown)
    for size in ((100_000, 100_000), (12_000, 12_000), (9_000, 9_000), (2**31 - 1, 1)):
        content = declaring(*size)
        yield file_case(f"a png that declares {size[0]}x{size[1]}", content, "huge.png", "more pixels than|more than any")
    yield file_case("a png that declares 4000x4000", declaring(4000, 4000), "large.png", *damaged)
    yield file_case("a png without width", declaring(0, 16), "thin.png")
    for name, content in {
        "text": b"these are no pixels\n", "a page": b"<html><body>404</body></html>", "zeros": bytes(500),
        "noise": random.Random(1).randbytes(500),
    }.items():  # fmt: skip
        yield file_case(f"{name} called .png", content, "no.png", *unknown)
    grey = ramp().astype(np.uint8)
    for kind in ("JPEG", "BMP"):
        content = encoded(grey, kind)
        yield file_case(f"half a {kind}", content[: len(content) // 2], f"half.{kind.lower()}", *damaged)
        yield file_case(f"a {kind} header", content[:20], f"head.{kind.lower()}")
    yield file_case("a jpeg called .png", encoded(grey, "JPEG"), "j.png", check=shows("j_reconstruction.png"))
    for kind in ("GIF", "TIFF", "WEBP", "ICO"):
        yield file_case(f"a {kind} called .png", encoded(grey, kind), "other.png", *unknown)
    frames = [Image.fromarray(grey), Image.fromarray(grey[::-1])]
    moving = encoded(frames[0], save_all=True, append_images=frames[1:])
    yield file_case("a png that moves", moving, "moving.png", "holds 2 pictures")
    colours = np.zeros((*SIZE, 3), np.uint8)
    colours[..., 0] = grey
    yield file_case("a colour png", encoded(colours), "red.png", "is a colour picture")
    clear = Image.fromarray(grey).convert("RGBA")
    clear.putalpha(100)
    yield file_case("a png that can be seen through", encoded(clear), "clear.png", "transparent")
    cmyk = encoded(Image.fromarray(colours).convert("CMYK"), "JPEG")
    yield file_case("a jpeg of four channels", cmyk, "print.jpg", "CMYK")
    for mode in ("RGB", "LA"):
        content = encoded(Image.fromarray(grey).convert(mode))
        yield file_case(f"grey as {mode}", content, "g.png", check=shows("g_reconstruction.png", grey / 255))
    deep = ramp(65535).astype(np.uint16)
    yield file_case(
        "16 bits", encoded(deep), "deep.png", check=shows("deep_reconstruction.png", deep / 65535, dtype=np.uint16)
    )
    bits = Image.fromarray(grey).convert("1")
    yield file_case("1 bit", encoded(bits), "bit.png", check=shows("bit_reconstruction.png", np.asarray(bits) * 1.0))
    for shape in ((1, 1), (1, 9), (9, 1), (7, 5)):
        pixels = np.full(shape, 130, np.uint8)
        for verb, after in (("reconstruct", "reconstruction"), ("score", "anomaly")):
            check = shows(f"few_{after}.png", pixels / 255 if verb == "reconstruct" else None, shape)
            yield file_case(f"{shape[0]}x{shape[1]} pixels", encoded(pixels), "few.png", verb=verb, check=check)
    for value in (0, 255):
        pixels = np.full(SIZE, value, np.uint8)
        yield file_case(
            f"every pixel {value}", encoded(pixels), "flat.png", check=shows("flat_reconstruction.png", pixels / 255)
        )
        yield file_case(
            f"every pixel {value}", encoded(pixels), "flat.png", verb="score", check=shows("flat_anomaly.png")
        )
    big = np.zeros((90, 70), np.uint8)
    big[20:60, 20:50] = 200

    def large(world: World, folder: Path) -> dict[str, object]:
        (folder / "big.png").write_bytes(encoded(big))
        return {"dataset_dir": folder / "big.png", "network_def": WHOLE_IMAGE}

    yield Case("score: a grid that the pair is not for", "score", large, ("calibration_path", "[90, 70]"))
    for verb, view in (("score", "anomaly"), ("score", "heatmap")):
        yield file_case(f"half a png, {view}", GREY[:60], "half.png", *damaged, verb=verb, view=view)
    yield file_case("a png called .nii", GREY, "scan.nii", check=shows("scan_reconstruction.png", grey / 255))
    yield file_case("a png called .nii.gz", GREY, "scan.nii.gz", check=shows("scan_reconstruction.png", grey / 255))
    yield file_case("a name of two lines", GREY[:60], "two\nlines.png", "lines.png", *damaged)
    yield file_case("a name in Greek", GREY, "φέτα.png", check=shows("φέτα_reconstruction.png", grey / 255))
    dark = encoded(np.full(SIZE, 2, np.uint8))
    yield file_case("black at the white asked for", dark, "dark.png", "intensity_max", intensity_max=5000)


# --- NIfTI -----------------------------------------------------------------------------------------------------------

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
        yield file_case(f"a .nii.gz with a bit flipped in byte {position}", flipped(packed, position), "v.nii.gz", *damaged)
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
    yield file_case("not packed, called .nii.gz", plain, "v.nii.gz", check=same_volume(f"{result}.gz", (6, 5, 4), 0, 255))
    for suffix in (".mgz", ".hdr", ".img", ".dcm", ".npy"):
        yield file_case(f"a {suffix}", plain[:348], f"v{suffix}", "is neither a picture")


# --- places ----------------------------------------------------------------------------------------------------------


def places() -> Iterator[Case]:
    """What is no file, or not where it is said to be."""

    def pipe(world: World, folder: Path) -> dict[str, object]:
        (folder / "in").mkdir()
        os.mkfifo(folder / "in" / "pipe.png")
        return {"dataset_dir": folder / "in"}

    def inside(name: str, put: Callable[[Path], object]) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            (folder / "in").mkdir()
            put(folder / "in" / name)
            return {"dataset_dir": folder / "in"}

        return make

    def named(path: str) -> Make:
        return lambda world, folder: {"dataset_dir": path.format(folder)}

    def of_one_name(world: World, folder: Path) -> dict[str, object]:
        (folder / "in").mkdir()
        (folder / "in" / "a.png").write_bytes(GREY)
        (folder / "in" / "a.jpg").write_bytes(encoded(ramp().astype(np.uint8), "JPEG"))
        return {"dataset_dir": folder / "in"}

    for verb in ("reconstruct", "score"):
        yield Case(f"{verb}: no such folder", verb, named("{}/none"), ("none", "no such file or folder"))
        yield Case(f"{verb}: a pipe", verb, pipe, ("pipe.png", "is a pipe"))
        yield Case(f"{verb}: a folder called .png", verb, inside("d.png", Path.mkdir), ("d.png", "is a folder"))
    yield Case("reconstruct: an empty folder", "reconstruct", inside("notes.txt", Path.touch), ("in", "holds no images"))
    hidden = inside(".hidden.png", lambda path: path.write_bytes(GREY))
    yield Case("reconstruct: hidden files alone", "reconstruct", hidden, ("in", "holds no images"))
    gone = inside("gone.png", lambda path: path.symlink_to("nowhere"))
    yield Case("reconstruct: a link to nowhere", "reconstruct", gone, ("gone.png", "no such file"))
    loop = inside("loop.png", lambda path: path.symlink_to("loop.png"))
    yield Case("reconstruct: a link to itself", "reconstruct", loop, ("loop.png", "cannot be read"))
    yield Case("reconstruct: a path in a file", "reconstruct", named(f"{CONFIGS}/train.json/a.png"), ("a.png", "no such"))
    yield Case("reconstruct: a name too long", "reconstruct", named("{}/" + "x" * 300), ("xxx", "too long"))
    yield Case("reconstruct: a null byte in the name", "reconstruct", named("{}/a\0b.png"), ("dataset_dir", "path"))
    yield Case("reconstruct: an empty name", "reconstruct", named(""), ("dataset_dir",))
    yield Case("reconstruct: two results of one name", "reconstruct", of_one_name, ("a.png", "a.jpg", "rename"))
    yield Case("reconstruct: a device", "reconstruct", named("/dev/zero"), ("/dev/zero",))
    for verb in ("train", "train_prior", "evaluate", "calibrate"):
        yield Case(f"{verb}: no such folder", verb, named("{}/none"), ("none", "no such folder"))
    yield Case("train: a name too long", "train", named("{}/" + "x" * 300), ("xxx", "too long"))
    yield Case("train: a null byte in the name", "train", named("{}/a\0b"), ("dataset_dir",))
    yield Case("train: a file", "train", named(f"{CONFIGS}/train.json"), ("train.json", "no such folder"))


# --- folders of slices -----------------------------------------------------------------------------------------------


def folders() -> Iterator[Case]:
    """A dataset with something wrong in it."""

    def spoilt(change: Callable[[Path], object], **more: object) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            shutil.copytree(world.slices, folder / "slices")
            change(folder / "slices")
            return {"dataset_dir": folder / "slices", **more}

        return make

    def put(section: str, name: str, content: bytes) -> Callable[[Path], object]:
        return lambda root: (root / f"keras_png_slices_{section}" / name).write_bytes(content)

    train, validate, test = (f"case_{n:03d}_slice_1.nii.png" for n in (1, 3, 4))
    spoils = {
        "half a slice": GREY[: len(GREY) // 2], "an empty slice": b"", "a slice of text": b"no slice\n",
        "a slice with a flipped bit": flipped(GREY, len(GREY) // 2), "a colour slice": encoded(np.full((*SIZE, 3), [9, 0, 0], np.uint8)),
        "a slice of another size": encoded(np.zeros((8, 8), np.uint8)), "a NIfTI slice": nifti(VOLUME[..., 0]),
        "a huge slice": declaring(50_000, 50_000),
    }  # fmt: skip
    for name, content in spoils.items():
        yield Case(f"train: {name} to train", "train", spoilt(put("train", train, content)), (train,))
        yield Case(f"train: {name} to validate", "train", spoilt(put("validate", validate, content)), (validate,))
        yield Case(f"train_prior: {name}", "train_prior", spoilt(put("train", train, content)), (train,))
        yield Case(f"evaluate: {name}", "evaluate", spoilt(put("test", test, content)), (test,))
        yield Case(f"calibrate: {name}", "calibrate", spoilt(put("validate", validate, content)), (validate,))
    wrong_names = ("slice_1.png", "case_x_slice_1.nii.png", "case_001_slice_1.nii.jpg", "case_001_slice_-1.nii.png",
                   "case_001_slice_1.5.nii.png", "Thumbs.db", "case_001_slice_1.nii (1).png")  # fmt: skip
    for name in wrong_names:
        yield Case(f"train: a file called {name}", "train", spoilt(put("train", name, GREY)), (name, "case_NNN"))
    twice = put("validate", "case_001_slice_0.nii.png", GREY)
    for verb in ("train", "train_prior", "evaluate", "calibrate"):
        yield Case(f"{verb}: a person in two sections", verb, spoilt(twice), ("case_001", "also in section"))
    for section in ("train", "validate"):
        gone = spoilt(lambda root, section=section: shutil.rmtree(root / f"keras_png_slices_{section}"))
        yield Case(f"train: no section {section}", "train", gone, (f"keras_png_slices_{section}", "no such folder"))

    def empty(root: Path) -> None:
        for file in (root / "keras_png_slices_train").iterdir():
            file.unlink()

    yield Case("train: an empty section", "train", spoilt(empty), ("keras_png_slices_train", "holds no slices"))
    folder_in_it = spoilt(lambda root: (root / "keras_png_slices_train" / "case_001_slice_7.nii.png").mkdir())
    yield Case("train: a folder called as a slice", "train", folder_in_it, ("case_001_slice_7.nii.png", "is a folder"))
    far = spoilt(put("train", "case_001_slice_90.nii.png", encoded(np.zeros(SIZE, np.uint8))))
    yield Case("train_prior: a slice position that the prior does not know", "train_prior", far, ("slice_index", "90"))
    one = spoilt(lambda root: [f.unlink() for f in (root / "keras_png_slices_validate").glob("case_005*")])
    yield Case("calibrate: one person alone", "calibrate", one, ("two people",))
    yield Case("calibrate: a slice position that the prior does not know", "calibrate", spoilt(
        put("validate", "case_003_slice_90.nii.png", GREY)), ("slice_index", "90"))  # fmt: skip
    large = lambda world, folder: {"roi_size": [64, 64], "vqvae_def": WHOLE_IMAGE}  # noqa: E731
    yield Case("train_prior: a crop larger than the slices", "train_prior", large, ("roi_size", "[2, 3]"))
    for section in ("nowhere", "", "Test"):
        wrong = lambda world, folder, section=section: {"section": section}  # noqa: E731
        for verb in ("evaluate", "calibrate"):
            yield Case(f"{verb}: section {section!r}", verb, wrong, ("section must be one of", repr(section)))
    black = spoilt(lambda root: [
        f.write_bytes(encoded(np.zeros(SIZE, np.uint8))) for f in (root / "keras_png_slices_validate").iterdir()
    ])  # fmt: skip
    yield Case("calibrate: black slices alone", "calibrate", black, ("brain",))


def tables() -> Iterator[Case]:
    """Tables of cases."""
    contents = {
        "nothing": b"", "text": b"no table\n", "no rating": b"case,age\ncase_001,60\n", "no case": b"name,cdr\na,0\n",
        "a rating of 0.7": b"case,cdr\ncase_001,0.7\n", "a rating in words": b"case,cdr\ncase_001,mild\n",
        "a rating of NaN": b"case,cdr\ncase_001,nan\n", "a strange case": b"case,cdr\nOAS1_0001,0\n",
        "Latin-1": "case,cdr,name\ncase_001,0,José\n".encode("latin-1"), "noise": random.Random(2).randbytes(300),
        "null bytes": b"case,cdr\ncase_001,\0\n", "a field without end": b'case,cdr\n"' + b"x" * 200_000,
        "tabs": b"case\tcdr\ncase_001\t0\n",
    }  # fmt: skip
    for name, content in contents.items():

        def make(world: World, folder: Path, content: bytes = content) -> dict[str, object]:
            (folder / "cases.csv").write_bytes(content)
            return {"cases_path": folder / "cases.csv"}

        yield Case(f"train_prior: a table with {name}", "train_prior", make, ("cases.csv",))
    for verb in ("train_prior", "calibrate", "evaluate"):
        yield Case(f"{verb}: no table", verb, lambda world, folder: {"cases_path": folder / "no.csv"}, ("no.csv", "no such"))
        yield Case(f"{verb}: a folder for a table", verb, lambda world, folder: {"cases_path": folder}, ("is a folder",))

    def sick(world: World, folder: Path) -> dict[str, object]:
        (folder / "cases.csv").write_text("case,cdr\ncase_003,1\ncase_005,2\n")
        return {"cases_path": folder / "cases.csv"}

    yield Case("calibrate: nobody healthy", "calibrate", sick, ("rating of 0",))


# --- checkpoints -----------------------------------------------------------------------------------------------------


class Harmful:
    """Unpickled, it would leave a file."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch harmed",)


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def checkpoints() -> Iterator[Case]:
    """Weights that cannot be, in each place where a verb reads some."""
    places = {
        "model": [(v, "model_path") for v in ("reconstruct", "score", "generate", "evaluate", "calibrate", "export")]
        + [("train_prior", "vqvae_path")],
        "model_prior": [(v, "prior_path") for v in ("score", "generate", "evaluate", "calibrate", "export")],
        "calibration": [("score", "calibration_path")],
    }

    def bad(kind: str, content: Callable[[bytes, World], bytes], key: str) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            (folder / "bad.pt").write_bytes(content((world.models / f"{kind}.pt").read_bytes(), world))
            return {key: folder / "bad.pt"}

        return make

    def changed(change: Callable[[dict], object]) -> Callable[[bytes, World], bytes]:
        def content(whole: bytes, world: World) -> bytes:
            state = torch.load(io.BytesIO(whole), weights_only=True)
            return saved(state if change(state) is None else change(state))

        return content

    def other_weights(whole: bytes, world: World) -> bytes:
        state = torch.load(io.BytesIO(whole), weights_only=True)
        return saved({name: value.repeat(2, *[1] * (value.ndim - 1)) if value.ndim else value for name, value in state.items()})

    def without_one(state: dict) -> None:
        del state[next(iter(state))]

    def not_a_number(state: dict) -> None:
        name = next(name for name, value in state.items() if value.is_floating_point() and value.numel() > 1)
        state[name].view(-1)[0] = torch.nan

    damages: dict[str, Callable[[bytes, World], bytes]] = {
        "nothing": lambda whole, world: b"",
        "text": lambda whole, world: b"no weights\n",
        "a tenth of it": lambda whole, world: whole[: len(whole) // 10],
        "half of it": lambda whole, world: whole[: len(whole) // 2],
        "all but a byte": lambda whole, world: whole[:-1],
        "a flipped bit": lambda whole, world: flipped(whole, len(whole) // 2),
        "a pickle": lambda whole, world: pickle.dumps({"model": [1, 2]}),
        "a pickle with code": lambda whole, world: pickle.dumps(Harmful()),
        "code in a checkpoint": lambda whole, world: saved({"model": Harmful()}),
        "a list": lambda whole, world: saved([torch.zeros(2)]),
        "numbers": lambda whole, world: saved({"weight": 3}),
        "another size": other_weights,
        "one tensor less": changed(without_one),
        "one tensor more": changed(lambda state: {**state, "extra": torch.zeros(1)}),
        "NaN in it": changed(not_a_number),
        "a picture": lambda whole, world: GREY,
    }
    for kind, users in places.items():
        # each damage meets one verb, each verb one damage at least
        for number, (name, content) in enumerate(damages.items()):
            verb, key = users[number % len(users)]
            yield Case(f"{verb}: {key} with {name}", verb, bad(kind, content, key), ("bad.pt",))
        for verb, key in users:
            gone = lambda world, folder, key=key: {key: folder / "gone.pt"}  # noqa: E731
            if key != "prior_path" or verb not in ("evaluate", "calibrate"):  # which then do without
                yield Case(f"{verb}: no {key}", verb, gone, ("gone.pt",))
            dir_ = lambda world, folder, key=key: {key: folder}  # noqa: E731
            yield Case(f"{verb}: a folder for {key}", verb, dir_, ("is a folder",))
            others = [other for other in places if other != kind]
            for other in others:
                if (world_file := f"{other}.pt") and (verb, other) != ("", ""):
                    swap = lambda world, folder, key=key, file=world_file: {key: world.models / file}  # noqa: E731
                    yield Case(f"{verb}: {other} for {key}", verb, swap, (world_file,))

    def original(world: World, folder: Path) -> dict[str, object]:
        torch.save(VQVAE().state_dict(), folder / "original.pt")
        return {"model_path": folder / "original.pt"}

    yield Case("reconstruct: weights of the original", "reconstruct", original, ("original.pt", "another architecture"))

    def other_prior(world: World, folder: Path) -> dict[str, object]:
        torch.save(PixelCNN(16, 8, 4, 1).state_dict(), folder / "pixelcnn.pt")
        return {"prior_path": folder / "pixelcnn.pt"}

    yield Case("generate: weights of another prior", "generate", other_prior, ("pixelcnn.pt", "another architecture"))

    def another_book(world: World, folder: Path) -> dict[str, object]:
        torch.save(ResidualVQVAE(**SMALL).state_dict(), folder / "other.pt")
        return {"model_path": folder / "other.pt"}

    for verb in ("generate", "evaluate", "calibrate", "export"):
        yield Case(f"{verb}: a prior of another codebook", verb, another_book, ("the prior was trained on another codebook",))
    for method in ("residual", "surprise", "restoration"):
        of_others = lambda world, folder, method=method: {**another_book(world, folder), "method": method}  # noqa: E731
        yield Case(f"score: {method} with another model", "score", of_others, ("another",))

    def untrained(world: World, folder: Path) -> dict[str, object]:
        torch.save(GatedPixelCNN(**SMALL_PRIOR).state_dict(), folder / "untrained.pt")
        return {"prior_path": folder / "untrained.pt"}

    for verb in ("generate", "score", "evaluate", "calibrate", "export"):
        yield Case(f"{verb}: a prior that was never trained", verb, untrained, ("prior", "never trained"))

    def of_residual_alone(world: World, folder: Path) -> dict[str, object]:
        state = torch.load(world.models / "calibration.pt", weights_only=True)
        state["thresholds"][1:] = torch.nan
        torch.save(state, folder / "part.pt")
        return {"calibration_path": folder / "part.pt", "method": "surprise"}

    yield Case("score: a calibration of another method", "score", of_residual_alone, ("surprise",))

    def of_another_grid(world: World, folder: Path) -> dict[str, object]:
        state = torch.load(world.models / "calibration.pt", weights_only=True)
        for name in ("template", "mean", "std"):
            state[name] = state[name].repeat(*[1] * (state[name].ndim - 1), 2)
        torch.save(state, folder / "wide.pt")
        return {"calibration_path": folder / "wide.pt", "method": "residual"}

    yield Case("score: a calibration of another grid", "score", of_another_grid, ("calibration",))

    def resuming(content: Callable[[World], bytes] | None) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            (folder / "ckpt").mkdir()
            if content is not None:
                (folder / "ckpt" / "checkpoint.pt").write_bytes(content(world))
            return {"resume": True, "ckpt_dir": folder / "ckpt"}

        return make

    resumed = {
        "nothing": None, "an empty file": lambda world: b"", "text": lambda world: b"no checkpoint",
        "the best weights": lambda world: (world.models / "model.pt").read_bytes(),
        "half a checkpoint": lambda world: saved({"model": {}, "optimizer": {}, "trainer": {}, "best": {}}),
        "a list": lambda world: saved([1, 2]),
    }  # fmt: skip
    for name, content in resumed.items():
        yield Case(f"train: resuming from {name}", "train", resuming(content), ("checkpoint.pt",))


# --- settings --------------------------------------------------------------------------------------------------------

CONFIG_OF = {verb: json.loads((CONFIGS / file).read_text()) for verb, (file, _) in VERBS.items() if verb != "score"}
PATHS = ("_dir", "_path")


def with_setting(key: str, value: object) -> Make:
    return lambda world, folder: {key: value}


def kinds() -> Iterator[Case]:
    """Every setting of every config as something else than what it is."""
    for verb, config in CONFIG_OF.items():
        for key, default in config.items():
            if key in ("imports", "bundle_root", "initialize", "run", "finalize", "sections" * (verb == "evaluate")):
                continue
            if key.endswith(PATHS):
                wrong = 5
            elif key == "device":
                wrong = "gpu"
            elif isinstance(default, str) and default.startswith("$") or default is None:
                continue
            elif isinstance(default, bool):
                wrong = "maybe"
            elif isinstance(default, (int, float)):
                wrong = "many"
            elif isinstance(default, str):
                wrong = 5 if not default.startswith("%") else None
            elif isinstance(default, list) and isinstance(default[0], int):
                wrong = "wide"
            elif key.endswith("_def") or key == "sections":
                wrong = 7
            else:
                continue
            if wrong is not None:
                yield Case(f"{verb}: {key} {wrong!r}", verb, with_setting(key, wrong), (key, repr(wrong)))


def more_kinds() -> Iterator[Case]:
    """Values that nearly are."""
    wrongs = [
        ("train", "max_epochs", 1.5), ("train", "max_epochs", True), ("train", "max_epochs", None),
        ("train", "batch_size", [4]), ("train", "batch_size", "8"), ("train", "learning_rate", "1e-3x"),
        ("train", "learning_rate", True), ("train", "resume", 1), ("train", "amp", None), ("train", "roi_size", [16]),
        ("train", "roi_size", [16, 24, 1]), ("train", "roi_size", [16.0, 24.0]), ("train", "roi_size", ["a", "b"]),
        ("train", "roi_size", 16), ("train", "seed", None), ("train", "seed", 1.5), ("train", "seed", "zero"),
        ("train", "ckpt_dir", True), ("train", "ckpt_dir", None), ("train", "output_dir", ["a"]),
        ("train", "dataset_dir", None), ("train", "device", "cuda:99"), ("train", "device", "cpu:x"),
        ("train", "network_def", {}), ("train", "network_def", {"_target_": "no.such.Network"}),
        ("train", "network_def", {"_target_": "monai_vqoasis.networks.ResidualVQVAE", "chanels": [4, 8]}),
        ("train", "network_def", {"_target_": "monai_vqoasis.networks.ResidualVQVAE", "channels": 4}),
        ("train", "network_def", {"_target_": "monai_vqoasis.networks.ResidualVQVAE", "decay": 3}),
        ("train", "network_def", {"_target_": "monai_vqoasis.networks.ResidualVQVAE", "num_embeddings": -1}),
        ("train", "network_def", {"_target_": "pathlib.Path"}),
        ("train_prior", "vqvae_def", "model"), ("train_prior", "num_variants", 2.5), ("train_prior", "cases_path", 3),
        ("reconstruct", "view", 3), ("reconstruct", "view", ["anomaly"]), ("reconstruct", "intensity_max", "bright"),
        ("reconstruct", "intensity_max", True), ("reconstruct", "intensity_max", [255]),
        ("score", "method", None), ("score", "healthy_fraction", "few"), ("score", "threshold", "high"),
        ("score", "threshold", True), ("score", "redraw_above", "much"), ("score", "seed", "five"),
        ("generate", "top_k", 1.5), ("generate", "top_k", "many"), ("generate", "top_k", True),
        ("generate", "top_p", "half"), ("generate", "top_p", True), ("generate", "slice_index", "top"),
        ("generate", "slice_index", 1.5), ("generate", "slice_index", True), ("generate", "cdr", "mild"),
        ("generate", "cdr", [0, 1]), ("generate", "temperature", None), ("generate", "image_size", 64),
        ("generate", "image_size", [64, 64, 64]), ("export", "image_size", "256x256"), ("export", "dataset_dir", 7),
        ("prepare_oasis", "z_range", [67]), ("prepare_oasis", "z_range", ["a", "b"]), ("prepare_oasis", "masked", 2),
        ("prepare_oasis", "sections", {"train": "all"}), ("prepare_oasis", "sections", {"train": ["a", "b"]}),
        ("prepare_oasis", "sections", [1, 401]), ("prepare_oasis", "white_percentile", "99"),
    ]  # fmt: skip
    for verb, key, value in wrongs:
        yield Case(f"{verb}: {key} {value!r}", verb, with_setting(key, value), (f"{key}|{key.upper()}",))


def bounds() -> Iterator[Case]:
    """Values of the right kind that cannot be."""
    nan, inf = float("nan"), float("inf")
    wrongs = {
        "train": {
            "max_epochs": (0, -3), "batch_size": (0, -1), "val_batch_size": (0,), "val_interval": (0, -1),
            "learning_rate": (0.0, -0.1, nan, inf), "warmup_steps": (-1,), "max_grad_norm": (0.0, -1.0, nan),
            "roi_size": ([0, 0], [-16, 24]), "max_shift": (-1,), "mirror_prob": (-0.5, 1.5, nan),
            "cache_rate": (2.0, -1.0), "num_workers": (-1,), "seed": (-1, 2**70),
        },
        "train_prior": {
            "num_variants": (0, -1), "early_stopping_patience": (0,), "weight_decay": (-1.0, nan), "seed": (-5,),
            "roi_size": ([0, 24],), "batch_size": (0,), "max_epochs": (0,), "learning_rate": (nan,),
        },
        "reconstruct": {
            "slice_batch_size": (0, -8), "num_pictures": (0, -1), "intensity_max": (0, -5.0, nan, inf),
            "view": ("picture", ""), "seed": (-1,),
        },
        "score": {
            "healthy_fraction": (0.0, 0.7, nan, -0.1), "threshold": (0.0, -1.0, nan, inf), "num_restorations": (0, -1),
            "redraw_above": (nan, inf), "method": ("magic", ""), "slice_batch_size": (0,), "num_pictures": (0,),
        },
        "generate": {
            "num_samples": (0, -1), "batch_size": (0, -1), "temperature": (0.0, -1.0, nan, inf), "top_k": (0, -2),
            "top_p": (0.0, 1.5, -0.1, nan), "slice_index": (3, 99, -2, [0, 1, 2]), "cdr": (0.7, -1, 4, nan),
            "image_size": ([0, 0], [-1, 24]), "seed": (-1, 2**64),
        },
        "evaluate": {
            "num_samples": (0, -1), "samples_per_position": (0, -1), "codec_slices": (0, -1), "batch_size": (0, -1),
        },
        "calibrate": {"batch_size": (0, -1), "num_restorations": (0,), "redraw_above": (nan,)},
        "export": {"image_size": ([0, 0],), "num_samples": (0,), "batch_size": (0,)},
        "prepare_demo": {"num_train": (-1,), "num_validate": (-1,), "num_test": (-1,), "seed": (-1,)},
        "prepare_oasis": {
            "num_slices": (0, -1, 500), "z_range": ([98, 67], [0, 500], [-1, 5]), "white_percentile": (0.0, 101.0, nan),
            "sections": (
                {}, {"training": [1, 5]}, {"train": 0.5}, {"train": [5, 1]}, {"train": [1, 5], "test": [5, 9]},
                {"train": [1, 5], "test": 0.5},
            ),
        },
    }  # fmt: skip
    for verb, settings in wrongs.items():
        for key, values in settings.items():
            for value in values:
                yield Case(f"{verb}: {key} {value!r}", verb, with_setting(key, value), (f"{key}|{key.upper()}",))


def absent() -> Iterator[Case]:
    """Configs that lack a key, each in a bundle of its own."""
    for verb, config in CONFIG_OF.items():
        for key in config:
            # without these, MONAI ends before anything of this project begins
            if key in ("imports", "initialize", "seed", "finalize", "bundle_root"):
                continue

            def make(world: World, folder: Path, verb: str = verb, key: str = key) -> dict[str, object]:
                (folder / "configs").mkdir()
                for file in CONFIGS.glob("*.json"):
                    text = file.read_text()
                    if file.name == VERBS[verb][0]:
                        text = json.dumps({k: v for k, v in json.loads(text).items() if k != key})
                    (folder / "configs" / file.name).write_text(text)
                return {"config_file": folder / "configs" / VERBS[verb][0], key: ABSENT}

            # nor without "run", where another name stands for it
            if f"@{key}" in json.dumps({k: v for k, v in config.items() if k != key}):
                yield Case(f"{verb}: a config without {key}", verb, make, (key, "missing"))
            elif key == "run" and "%run" not in config.values():
                yield Case(f"{verb}: a config without {key}", verb, make, ("run",))


ABSENT = object()


def keys() -> Iterator[Case]:
    """Keys that nothing reads."""
    for verb, key, word in (
        ("train", "batchsize", "batch_size"), ("train", "num_samples", "num_samples"), ("train", "prior_path", "prior"),
        ("train", "view", "view"), ("generate", "temprature", "temperature"), ("generate", "dataset_dir", "dataset_dir"),
        ("generate", "calibration_path", "calibration_path"), ("calibrate", "output_dir", "output_dir"),
        ("calibrate", "max_epochs", "max_epochs"), ("evaluate", "view", "view"), ("reconstruct", "batch_size", "batch_size"),
        ("reconstruct", "section", "section"), ("prepare_demo", "ckpt_dir", "ckpt_dir"),
        ("prepare_oasis", "cases_path", "cases_path"), ("export", "device", "device"), ("export", "temperature", "temp"),
        ("train_prior", "prior_def", "prior_def"), ("train_prior", "model_path", "model_path"),
    ):  # fmt: skip
        value = 3 if not key.endswith(PATHS) else "here"
        yield Case(f"{verb}: --{key}, which it does not read", verb, with_setting(key, value), ("unknown config key", word))
    for verb in ("train", "reconstruct"):
        run_id = lambda world, folder: {"run_id": "trainning"}  # noqa: E731
        yield Case(f"{verb}: another run", verb, run_id, ("trainning",))
    elsewhere = with_setting("batch_size", "@nowhere")
    yield Case("train: a reference to nowhere", "train", elsewhere, ("nowhere", "missing"))

    def broken(text: str) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            shutil.copytree(CONFIGS, folder / "configs")
            (folder / "configs" / "mine.json").write_text(text)
            return {"config_file": folder / "configs" / "generate.json"}

        return make

    for name, text in (("half a config", '{"seed": 0, "ba'), ("a list", "[1, 2]"), ("nothing", "")):
        yield Case(f"generate: {name} beside the config", "generate", broken(text), ("mine.json",))

    def overlay(world: World, folder: Path) -> dict[str, object]:
        return {"config_file": [CONFIGS / "train.json", CONFIGS / "original.json"], "network_def": VQVAE_DEF}

    def trained(world: World, out: Path) -> None:
        assert torch.load(out / "model.pt", weights_only=True)

    yield Case("train: an overlay with settings of another stage", "train", overlay, None, trained)


# --- outputs ---------------------------------------------------------------------------------------------------------


def outputs() -> Iterator[Case]:
    """Places that cannot be written to."""
    results = {
        "train": ("output_dir", "ckpt_dir"), "train_prior": ("output_dir", "ckpt_dir"), "reconstruct": ("output_dir",),
        "score": ("output_dir",), "generate": ("output_dir",), "calibrate": ("calibration_path",),
        "prepare_demo": ("dataset_dir",),
    }  # fmt: skip

    def at(key: str, name: str) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            (folder / "file").write_text("mine")
            return {key: folder / name}

        return make

    for verb, names in results.items():
        for key in names:
            if key != "calibration_path":
                yield Case(f"{verb}: a file for {key}", verb, at(key, "file"), ("file",))
            yield Case(f"{verb}: {key} in a file", verb, at(key, "file/in"), ("file",))
            yield Case(f"{verb}: {key} of a name too long", verb, at(key, "y" * 300), ("yyy", "too long"))
            yield Case(f"{verb}: {key} with a null byte", verb, at(key, "a\0b"), (key,))
    yield Case("calibrate: a folder for calibration_path", "calibrate", at("calibration_path", ""), ("directory",))


# --- raw folders -----------------------------------------------------------------------------------------------------


def raw_folders() -> Iterator[Case]:
    """What prepare_oasis cannot use."""

    def raw(files: dict[str, bytes], **more: object) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            for name, content in files.items():
                (folder / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / "raw" / name).write_bytes(content)
            return more

        return make

    none_used = ("raw", "none of its volumes could be used")
    plain = nifti(VOLUME)
    yield Case("prepare_oasis: no such folder", "prepare_oasis", raw({}), ("raw", "no such folder"))
    yield Case("prepare_oasis: no volumes", "prepare_oasis", raw({"a.txt": b"x"}), ("raw", "holds no volumes"))
    bad = {
        "half a volume": plain[:380], "an empty one": b"", "text": b"no volume", "a black one": nifti(VOLUME * 0),
        "no voxels": nifti(VOLUME, change=field("dim", 0, 2)), "NaN": nifti(VOLUME * np.float32(np.nan)),
        "huge sizes": nifti(VOLUME, change=lambda raw: raw["dim"].__setitem__(slice(1, 4), 30000)),
        "colour": nifti(np.zeros(VOLUME.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])),
    }  # fmt: skip
    for name, content in bad.items():
        yield Case(f"prepare_oasis: {name}", "prepare_oasis", raw({"a.nii": content}), none_used)
    yield Case("prepare_oasis: a flipped bit", "prepare_oasis", raw({"a.nii.gz": flipped(gzip.compress(plain), 60)}), none_used)
    yield Case("prepare_oasis: half an archive", "prepare_oasis", raw({"oasis_cross-sectional_disc1.tar.gz": gzip.compress(bytes(4000))[:20]}), none_used)
    table = {"oasis_cross-sectional.csv": b"ID,Age\nOAS1_0001_MR1,70\n", "a.nii": plain}
    yield Case("prepare_oasis: a table without columns", "prepare_oasis", raw(table), ("oasis_cross-sectional.csv", "column"))
    noise = {"oasis_cross-sectional.csv": b"\xff\xfe\x00" * 40, "a.nii": plain}
    yield Case("prepare_oasis: noise for a table", "prepare_oasis", raw(noise), ("oasis_cross-sectional.csv",))

    def there_before(name: str, content: str) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            (folder / "out").mkdir()
            (folder / "out" / name).write_text(content)
            return raw({"a.nii": plain})(world, folder)

        return make

    yield Case("prepare_oasis: a damaged prepared.json", "prepare_oasis", there_before("prepared.json", '{"mas'), ("prepared.json",))
    yield Case("prepare_oasis: a list for prepared.json", "prepare_oasis", there_before("prepared.json", "[1]"), ("prepared.json",))

    def others(world: World, folder: Path) -> dict[str, object]:
        raw({"a.nii": plain})(world, folder)
        return {"dataset_dir": world.slices}

    yield Case("prepare_oasis: slices of others there", "prepare_oasis", others, ("keras_png_slices_train", "not made here"))
    yield Case("prepare_demo: slices of others there", "prepare_demo", lambda w, f: {"dataset_dir": w.slices}, ("already there",))
