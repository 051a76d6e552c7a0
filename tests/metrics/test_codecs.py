from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import features

from monai_vqoasis.errors import InputError
from monai_vqoasis.metrics import codecs
from monai_vqoasis.metrics.codecs import QUALITIES, at_bytes, codec_curve, encode_decode, header_bytes

AVAILABLE = [codec for codec in codecs.CODECS if codecs.unsupported_codec(codec) is None]
LADDER = {"jpeg": [1, 20, 60, 95], "webp": [0, 30, 70, 100], "jpeg2000": [160, 240, 320, 400], "avif": [0, 40, 70, 100]}


def blobs(count: int = 1, size: int = 48) -> torch.Tensor:
    """Textured discs of different sizes on black: uint8, N 1 H W."""
    rows, columns = np.mgrid[:size, :size] - size / 2
    rng = np.random.default_rng(0)
    pictures = []
    for number in range(count):
        inside = rows**2 + columns**2 < (size * (0.25 + 0.1 * number)) ** 2
        texture = 130 + 60 * np.sin(rows / 2) * np.cos(columns / 3) + rng.normal(0, 12, (size, size))
        pictures.append(np.where(inside, texture, 0).clip(0, 255).astype(np.uint8))
    return torch.from_numpy(np.stack(pictures)).unsqueeze(1)


@pytest.mark.parametrize("codec", AVAILABLE)
def test_more_bytes_buy_a_smaller_error(codec):
    pixels = blobs()[0, 0].numpy()
    results = [encode_decode(pixels, codec, quality) for quality in LADDER[codec]]
    errors = [((result.decoded.astype(float) - pixels) ** 2).mean() for result in results]
    sizes = [result.num_bytes for result in results]
    assert sizes == sorted(set(sizes))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 20 < errors[0]
    assert all(result.decoded.dtype == np.uint8 and result.decoded.shape == pixels.shape for result in results)


@pytest.mark.parametrize("codec", AVAILABLE)
def test_at_bytes_is_the_best_quality_that_fits_as_a_scan_of_all_finds_it(codec):
    pixels = blobs(size=32)
    sizes = {quality: encode_decode(pixels[0, 0].numpy(), codec, quality).num_bytes for quality in QUALITIES[codec]}
    smallest = sizes[QUALITIES[codec][0]]
    budgets = [smallest - 1, smallest, smallest + 60, smallest + 200, 10**6]
    result = at_bytes(pixels, codec, torch.tensor(budgets).unsqueeze(1))
    assert result.reached[:, 0].tolist() == [False, True, True, True, True]
    for row, budget in enumerate(budgets[1:], 1):
        best = max(quality for quality, size in sizes.items() if size <= budget)
        assert sizes[int(result.quality[row, 0])] <= budget
        assert int(result.quality[row, 0]) == best
        assert int(result.num_bytes[row, 0]) == sizes[best]
        assert np.array_equal(result.decoded[row, 0, 0], encode_decode(pixels[0, 0].numpy(), codec, best).decoded)
    assert int(result.num_bytes[0, 0]) == smallest


def test_every_slice_has_a_budget_of_its_own():
    pixels = blobs(3)
    budgets = torch.tensor([[900, 600, 700], [500, 10, 1000]])
    result = at_bytes(pixels, "jpeg", budgets)
    assert result.reached.tolist() == [[True] * 3, [True, False, True]]
    assert (result.num_bytes <= budgets)[result.reached].all()
    assert result.num_bytes[1, 1] > 10
    alone = at_bytes(pixels[2:], "jpeg", budgets[:, 2:])
    assert torch.equal(alone.decoded[:, 0], result.decoded[:, 2])


def test_a_curve_is_every_slice_at_every_quality():
    pixels = blobs(2)
    points = list(codec_curve(pixels, "jpeg", [10, 80]))
    assert [point.quality for point in points] == [10, 80]
    for point in points:
        for n in range(2):
            coded = encode_decode(pixels[n, 0].numpy(), "jpeg", point.quality)
            assert int(point.num_bytes[n]) == coded.num_bytes
            assert np.array_equal(point.decoded[n, 0], coded.decoded)


@pytest.mark.parametrize("codec", AVAILABLE)
def test_a_header_is_smaller_than_the_smallest_file_of_a_picture(codec):
    picture = blobs(size=256)[0, 0].numpy()
    assert 20 < header_bytes(codec) < encode_decode(picture, codec, QUALITIES[codec][0]).num_bytes


def test_a_missing_codec_is_a_sentence(monkeypatch):
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    assert "AVIF is left out" in codecs.unsupported_codec("avif")
    assert codecs.unsupported_codec("jpeg") is None
    with pytest.raises(InputError, match="AVIF is left out"):
        at_bytes(blobs(), "avif", torch.tensor([[900]]))


def test_what_cannot_be_coded_is_refused():
    with pytest.raises(InputError, match="codec must be one of"):
        encode_decode(np.zeros((8, 8), np.uint8), "gif", 1)
    with pytest.raises(InputError, match="from 1 to 95"):
        encode_decode(np.zeros((8, 8), np.uint8), "jpeg", 0)
    with pytest.raises(InputError, match="uint8, H W"):
        encode_decode(np.zeros((8, 8), np.float32), "jpeg", 1)
    with pytest.raises(InputError, match="M 1"):
        at_bytes(blobs(), "jpeg", torch.tensor([[900, 900]]))
