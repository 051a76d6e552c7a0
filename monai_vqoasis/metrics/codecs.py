"""What image codecs make of the same slices, at the same number of bytes."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, features
from tqdm import tqdm

from monai_vqoasis.errors import InputError
from monai_vqoasis.settings import check_choice

__all__ = [
    "CODECS",
    "QUALITIES",
    "AtBytes",
    "Coded",
    "CurvePoint",
    "at_bytes",
    "codec_curve",
    "encode_decode",
    "header_bytes",
    "unsupported_codec",
]

CODECS: Mapping[str, str] = {"jpeg": "JPEG", "webp": "WebP", "jpeg2000": "JPEG 2000", "avif": "AVIF"}
"""Codecs and how they are written."""

FEATURES = {"jpeg": "jpg", "webp": "webp", "jpeg2000": "jpg_2000", "avif": "avif"}
RATES_PER_OCTAVE = 40

QUALITIES: Mapping[str, range] = {
    "jpeg": range(1, 96),
    "webp": range(101),
    "jpeg2000": range(10 * RATES_PER_OCTAVE + 1),
    "avif": range(101),
}
"""Qualities of each codec, from the fewest bytes to the most."""

LOOK_AHEAD = 2


class Coded(NamedTuple):
    """Size of a file, and the pixels (uint8, H W) that come out of it."""

    num_bytes: int
    decoded: np.ndarray


class CurvePoint(NamedTuple):
    """Slices at one quality: bytes of each (int64, N) and what comes back (uint8, N 1 H W)."""

    quality: int
    num_bytes: torch.Tensor
    decoded: torch.Tensor


class AtBytes(NamedTuple):
    """Slices within given numbers of bytes, each field of shape M N ...

    Where even the lowest quality needs more, ``reached`` is false and the other fields are those of the lowest.
    """

    reached: torch.Tensor
    quality: torch.Tensor
    num_bytes: torch.Tensor
    decoded: torch.Tensor


def unsupported_codec(codec: str) -> str | None:
    """A sentence that says why ``codec`` cannot be used, None where it can.

    Raises:
        InputError: for a codec that is none of :data:`CODECS`.
    """
    if features.check(FEATURES[check_choice("codec", codec, list(CODECS))]):
        return None
    return f"{CODECS[codec]} is left out: this build of Pillow cannot write it."


def encode_decode(pixels: np.ndarray, codec: str, quality: int) -> Coded:
    """Write greyscale pixels as a file in memory, and read it back.

    Each codec is asked for its smallest file: JPEG (libjpeg) with optimised Huffman tables, sequential or progressive,
    whichever is smaller; WebP (libwebp) with its slowest search, method 6; JPEG 2000 (OpenJPEG) as bare codestream
    without the JP2 container, 9/7 wavelet; AVIF (libavif) without chroma, at speed 2: at a thousand bytes its default 6
    cost 0.6 dB, and 0, three times as slow, gained nothing clear. The whole file counts, headers included, since it
    cannot be read without them; :func:`header_bytes` says how much they are.

    Args:
        pixels: uint8, H W.
        codec: one of :data:`CODECS`.
        quality: one of :data:`QUALITIES`. For JPEG 2000 it is a number of bytes: 1/1024 of the pixels at 0, twice as
            many every 40.

    Raises:
        InputError: for an unknown codec or quality, one that this build of Pillow does not have, or other pixels.
    """
    reason = unsupported_codec(codec)
    if reason is not None:
        raise InputError(reason)
    low, high = QUALITIES[codec][0], QUALITIES[codec][-1]
    if not low <= quality <= high:
        raise InputError(f"quality of {codec} must be from {low} to {high}, got {quality}.")
    if pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise InputError(f"pixels must be uint8, H W, got {pixels.dtype} of shape {pixels.shape}.")
    image = Image.fromarray(pixels)
    data = min((_save(image, options) for options in _options(codec, int(quality))), key=len)
    with Image.open(io.BytesIO(data)) as picture:
        return Coded(len(data), np.asarray(picture.convert("L")))


@cache
def header_bytes(codec: str) -> int:
    """Bytes that a file of ``codec`` needs before it says anything: those of a constant 256x256 picture.

    At a thousand bytes a slice they are a good part of the file; take them off to compare what codes the picture.
    """
    return encode_decode(np.full((256, 256), 128, dtype=np.uint8), codec, QUALITIES[codec][0]).num_bytes


def codec_curve(pixels: torch.Tensor, codec: str, qualities: Sequence[int]) -> Iterator[CurvePoint]:
    """All slices at each quality in turn.

    Args:
        pixels: uint8, N 1 H W.
        codec: one of :data:`CODECS`.
        qualities: out of :data:`QUALITIES`.
    """
    arrays = _arrays(pixels)
    for quality in tqdm(qualities, desc=f"{CODECS.get(codec, codec)} curve", unit="quality", leave=False, disable=None):
        num_bytes, decoded = zip(*(encode_decode(array, codec, quality) for array in arrays), strict=True)
        yield CurvePoint(quality, torch.tensor(num_bytes), torch.from_numpy(np.stack(decoded)).unsqueeze(1))


def at_bytes(pixels: torch.Tensor, codec: str, max_bytes: torch.Tensor) -> AtBytes:
    """Each slice at the best quality whose file is not larger than it may be.

    Bisection over :data:`QUALITIES`; files do not quite grow with every step (WebP's), so that the two qualities
    after the one found are tried as well.

    Args:
        pixels: uint8, N 1 H W.
        codec: one of :data:`CODECS`.
        max_bytes: integers, M N: M budgets for each slice; they share the files that are tried.

    Raises:
        InputError: for budgets that do not fit the slices, and as for :func:`encode_decode`.
    """
    arrays = _arrays(pixels)
    if max_bytes.ndim != 2 or max_bytes.shape[1] != len(arrays):
        raise InputError(f"max_bytes must be M {len(arrays)}, got {tuple(max_bytes.shape)}.")
    reason = unsupported_codec(codec)
    if reason is not None:
        raise InputError(reason)
    qualities = QUALITIES[codec]
    reached = torch.zeros(max_bytes.shape, dtype=torch.bool)
    quality, num_bytes = torch.zeros_like(max_bytes), torch.zeros_like(max_bytes)
    decoded = torch.zeros((*max_bytes.shape, *pixels.shape[1:]), dtype=torch.uint8)
    for n, array in enumerate(tqdm(arrays, desc=f"{CODECS[codec]} at equal bytes", unit="slice", disable=None)):
        files = cache(lambda number, array=array: encode_decode(array, codec, number))
        for m, budget in enumerate(max_bytes[:, n].tolist()):
            index = _best(qualities, files, budget)
            reached[m, n] = index >= 0
            quality[m, n] = qualities[max(index, 0)]
            num_bytes[m, n], result = files(qualities[max(index, 0)])
            decoded[m, n, 0] = torch.tensor(result)
    return AtBytes(reached, quality, num_bytes, decoded)


def _best(qualities: Sequence[int], files: Callable[[int], Coded], budget: int) -> int:
    """Index of the best quality within the budget, -1 for none."""
    index = bisect_right(qualities, budget, key=lambda quality: files(quality).num_bytes) - 1
    ahead = range(index + 1, min(index + 1 + LOOK_AHEAD, len(qualities)))
    return max([index, *(i for i in ahead if files(qualities[i]).num_bytes <= budget)])


def _arrays(pixels: torch.Tensor) -> list[np.ndarray]:
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != 1:
        raise InputError(f"pixels must be uint8, N 1 H W, got {pixels.dtype} of shape {tuple(pixels.shape)}.")
    return list(pixels[:, 0].cpu().numpy())


def _options(codec: str, quality: int) -> list[dict[str, object]]:
    """Pillow's settings for a codec, more than one where the smallest of several files is taken."""
    if codec == "jpeg":
        settings = {"format": "JPEG", "quality": quality, "optimize": True}
        return [settings, {**settings, "progressive": True}]
    if codec == "webp":
        return [{"format": "WEBP", "quality": quality, "method": 6}]
    if codec == "avif":
        return [{"format": "AVIF", "quality": quality, "subsampling": "4:0:0", "speed": 2, "max_threads": 1}]
    rate = 2.0 ** (len(QUALITIES[codec]) // RATES_PER_OCTAVE - quality / RATES_PER_OCTAVE)
    settings = {"format": "JPEG2000", "no_jp2": True, "irreversible": True, "quality_mode": "rates"}
    # A comment of one letter in place of OpenJPEG's own, which names its version.
    return [{**settings, "quality_layers": [rate], "comment": b" "}]


def _save(image: Image.Image, options: Mapping[str, object]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()
