from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from PIL import features

from monai_vqoasis.errors import InputError
from monai_vqoasis.evaluation.codec_comparison import Rival
from monai_vqoasis.evaluation.codec_display import budget_text
from monai_vqoasis.evaluation.rate import RateSection
from monai_vqoasis.evaluation.slices import SliceSet
from monai_vqoasis.metrics import Estimate, psnr
from monai_vqoasis.metrics.codecs import at_bytes, header_bytes

CODECS = ("jpeg", "jpeg2000")


def slice_set(noise: float = 0.0, people: int = 6) -> SliceSet:
    rows, columns = np.mgrid[:64, :64] - 32.0
    rng = np.random.default_rng(1)
    pictures = []
    for person in range(people):
        inside = rows**2 + columns**2 < (18 + person) ** 2
        texture = 130 + 50 * np.sin(rows / 3 + person) * np.cos(columns / 4) + rng.normal(0, 10, (64, 64))
        texture = np.where(inside, texture + noise * np.sin(rows * columns), 0)
        pictures.append(texture.clip(0, 255).astype(np.uint8))
    return SliceSet(
        torch.from_numpy(np.stack(pictures)).unsqueeze(1), [f"case_{p:03d}" for p in range(people)], [0] * people
    )


@pytest.fixture(scope="module")
def made():
    slices, ours = slice_set(), slice_set(4)
    bits = torch.tensor([1600.0, 2000.0, 2400.0, 1601.0, 2800.0, 1999.0])
    return slices, ours, bits, RateSection(slices, ours, 256, (20, 25), bits, CODECS)()


def test_bits_are_those_of_the_grid_and_of_the_prior(made):
    _, _, bits, section = made
    assert section.metrics["raw"] == {
        "bits_per_code": 8.0,
        "bits_per_slice": 4000.0,
        "bytes_per_slice": 500.0,
        "bits_per_pixel": 4000 / 64**2,
    }
    prior = section.metrics["prior"]
    assert prior["bits_per_slice"].value == pytest.approx(float(bits.mean()))
    assert prior["bits_per_code"].value == pytest.approx(float(bits.mean()) / 500)
    assert prior["bits_per_pixel"].value == pytest.approx(float(bits.mean()) / 4096)
    assert prior["bits_per_slice"].low < float(bits.mean()) < prior["bits_per_slice"].high
    assert section.per_slice["prior_bits"] == bits.tolist()
    assert not section.warnings


def test_codecs_are_held_to_the_bytes_of_each_slice(made):
    slices, ours, bits, section = made
    coded = section.metrics["at_coded_bytes"]
    budget = torch.tensor([math.ceil(b / 8) for b in bits.tolist()])
    assert coded["max_bytes"] == pytest.approx(float(budget.double().mean()))
    assert coded["learned"]["psnr"].value == pytest.approx(float(psnr(ours.images(), slices.images()).mean()), rel=1e-5)
    for codec, key in itertools.product(CODECS, ("without_header", "whole_file")):
        extra = header_bytes(codec) if key == "without_header" else 0
        reference = at_bytes(slices.pixels, codec, (budget + extra)[None])
        expected = psnr(reference.decoded[0].float() / 255, slices.images())[reference.reached[0]].mean()
        assert coded[codec][key]["reached"] == int(reference.reached.sum()) > 0
        assert coded[codec][key]["psnr"].value == pytest.approx(float(expected), rel=1e-5)
        lead = coded[codec][key]["learned_less_codec"]["psnr"].value
        mine = psnr(ours.images(), slices.images())[reference.reached[0]].mean()
        assert lead == pytest.approx(float(mine - expected), abs=1e-4)


def test_without_a_prior_only_raw_bits_and_a_warning():
    slices = slice_set()
    section = RateSection(slices, slice_set(4), 16, (10, 10), codecs=("jpeg",))()
    assert section.metrics["raw"]["bits_per_slice"] == 400
    assert "prior" not in section.metrics and "at_coded_bytes" not in section.metrics
    assert any("No prior" in warning for warning in section.warnings)
    assert not section.per_slice


def test_a_codec_that_pillow_lacks_is_left_out_with_a_warning(monkeypatch):
    monkeypatch.setattr(features, "check", lambda name: name == "jpg")
    section = RateSection(slice_set(), slice_set(4), 256, (20, 25), codecs=("jpeg", "avif"))()
    assert any("AVIF is left out" in warning for warning in section.warnings)
    assert "avif" not in section.metrics["at_raw_bytes"] and "jpeg" in section.metrics["at_raw_bytes"]


def rival(codec: str, difference: float, reached: int = 6) -> Rival:
    which = torch.arange(6) < reached
    scores = {name: torch.where(which, 20.0 + difference, torch.nan) for name in ("psnr", "ssim")}
    return Rival(codec, False, which, torch.full((6,), 100), torch.zeros(6, 1, 8, 8, dtype=torch.uint8), scores)


def test_the_paragraph_says_what_the_numbers_say():
    cases = [f"case_{n}" for n in range(6)]
    ours = {"psnr": torch.full((6,), 20.0), "ssim": torch.tensor([21.0, 19.0, 21.5, 18.5, 22.0, 18.0])}
    rivals = [rival("jpeg", -5), rival("webp", 5), rival("avif", 0, reached=0), rival("jpeg2000", -5, reached=3)]
    text = budget_text("raw", torch.full((6,), 1024), ours, rivals, cases)
    assert "1,024 bytes" in text
    assert "JPEG: ahead in PSNR and SSIM" in text
    assert "WebP: behind in PSNR and SSIM" in text
    assert "AVIF: no slice gets that small" in text
    assert "JPEG 2000: too few people to say (3) on the 3 of 6 slices that get so small" in text
    even = budget_text("raw", torch.full((6,), 1024), ours, [rival("jpeg", 0)], cases)
    assert "JPEG: undecided in PSNR and SSIM" in even
    few = budget_text("raw", torch.full((6,), 1024), ours, [rival("jpeg", -5)], [f"case_{n // 2}" for n in range(6)])
    assert "JPEG: too few people to say (3)." in few


def test_an_interval_over_reached_slices_is_over_their_people_only():
    cases = [f"case_{n}" for n in range(6)]
    estimate = rival("jpeg", 1, reached=1).means(cases)["psnr"]
    assert isinstance(estimate, Estimate) and estimate.value == 21 and math.isnan(estimate.low)
    assert rival("jpeg", 1, reached=0).means(cases)["psnr"] is None


def test_what_does_not_fit_is_refused():
    slices = slice_set()
    with pytest.raises(InputError, match="do not belong"):
        RateSection(slices, slice_set(people=5), 256, (20, 25))
    with pytest.raises(InputError, match="bits_per_slice must be 6"):
        RateSection(slices, slices, 256, (20, 25), torch.ones(5))
    with pytest.raises(InputError, match="codec must be one of"):
        RateSection(slices, slices, 256, (20, 25), codecs=("gif",))
