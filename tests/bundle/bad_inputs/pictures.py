"""Pictures that are damaged, or are no slices."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from monai_vqoasis.networks import ResidualVQVAE
from tests.bundle.bad_inputs.runs import SIZE, SMALL, Case, Check, World, whole_image


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
        name = f"a png that declares {size[0]}x{size[1]}"
        yield file_case(name, declaring(*size), "huge.png", "more pixels than|more than any")
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
        description, weights = whole_image(world, folder)
        return {"dataset_dir": folder / "big.png", "network_def": description, "model_path": weights}

    yield Case("score: a grid that the pair is not for", "score", large, ("calibration_path", "[90, 70]"))
    for verb, view in (("score", "anomaly"), ("score", "heatmap")):
        yield file_case(f"half a png, {view}", GREY[:60], "half.png", *damaged, verb=verb, view=view)
    yield file_case("a png called .nii", GREY, "scan.nii", check=shows("scan_reconstruction.png", grey / 255))
    yield file_case("a png called .nii.gz", GREY, "scan.nii.gz", check=shows("scan_reconstruction.png", grey / 255))
    yield file_case("a name of two lines", GREY[:60], "two\nlines.png", "lines.png", *damaged)
    yield file_case("a name in Greek", GREY, "φέτα.png", check=shows("φέτα_reconstruction.png", grey / 255))
    dark = encoded(np.full(SIZE, 2, np.uint8))
    yield file_case("black at the white asked for", dark, "dark.png", "intensity_max", intensity_max=5000)
