from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from monai_vqoasis.errors import InputError
from monai_vqoasis.evaluation.generation import GenerationSection, measure_anatomy
from monai_vqoasis.evaluation.slices import SliceSet
from monai_vqoasis.metrics.anatomy import ANATOMY, wasserstein
from monai_vqoasis.metrics.features import extract_features
from monai_vqoasis.metrics.generation import frechet_distance, kernel_distance

SIZE = (180, 184)


def extractor(images):
    return torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)


def slices(number, prefix="case", low=100, high=200):
    pixels = torch.zeros(number, 1, *SIZE, dtype=torch.uint8)
    pixels[..., 40:140, 30:150] = torch.randint(low, high, (number, 1, 100, 120), dtype=torch.uint8)
    for i, one in enumerate(pixels):  # of different sizes and with different ventricles
        one[..., 150 - i :] = 0
        one[:, 80:100, 80 - i : 85] = 20
    return SliceSet(pixels, [f"{prefix}_{i // 2:03d}" for i in range(number)], [i % 2 for i in range(number)])


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    return {
        "samples": slices(9, "seed", 90, 190),
        "slices": slices(8, "test"),
        "training_slices": slices(12, "train"),
        "reconstructions": slices(8, "test", 110, 190),
    }


def measure(sets, **arguments):
    return GenerationSection(**sets, extractor=extractor, num_pairs=3, **arguments)()


@pytest.fixture(scope="module")
def section(original):
    return measure(original)


@pytest.fixture
def sets(original):
    """To be changed."""
    return dict(original)


def test_distances_are_to_the_real_slices_and_the_floor_has_as_many_slices_as_samples(sets, section):
    reference = extract_features(sets["slices"].pixels, extractor)
    for name in ("samples", "reconstructions"):
        features = extract_features(sets[name].pixels, extractor)
        found = section.metrics["distance"][name]
        assert found["fid"] == pytest.approx(frechet_distance(features, reference))
        assert (found["kid"], found["kid_std"]) == kernel_distance(features, reference, 8)
    assert section.metrics["distance"]["training"]["num_slices"] == 9
    assert section.metrics["distance"]["samples"]["fid"] > section.metrics["distance"]["training"]["fid"]
    assert measure(sets).metrics == section.metrics


def test_all_rows_of_kid_are_of_one_subset_size_which_the_caption_names(sets):
    sets["samples"] = SliceSet(*(part[:5] for part in vars(sets["samples"]).values()))
    section = measure(sets)
    reference = extract_features(sets["slices"].pixels, extractor)
    features = extract_features(sets["reconstructions"].pixels, extractor)
    found = section.metrics["distance"]["reconstructions"]
    assert (found["kid"], found["kid_std"]) == kernel_distance(features, reference, 5)
    assert "100 subsets of 5" in section.tables[0].caption


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_planted_copy_is_found_counted_and_shown_first(sets, section, mirrored):
    before = section.metrics["memorisation"]
    assert before["pixels"]["copies"] == 0
    copied, training = sets["samples"].pixels.clone(), sets["training_slices"]
    copied[4] = training.pixels[7].flip(1) if mirrored else training.pixels[7]
    sets["samples"] = SliceSet(copied, sets["samples"].cases, sets["samples"].slice_indices)
    section = measure(sets)
    after = section.metrics["memorisation"]
    assert after["pixels"]["copies"] == 1
    for space in ("pixels", "features"):
        key = "share_nearer_than_slices_percentile_1"
        assert after[space][key] >= 1 / 9
        assert after[space]["samples_percentile_1"] < before[space]["samples_percentile_1"]
    assert after["pixels"]["share_nearer_than_slices_percentile_1"] == pytest.approx(
        before["pixels"]["share_nearer_than_slices_percentile_1"] + 1 / 9
    )
    assert any("1 samples are a training slice or its mirror" in warning for warning in section.warnings)
    nearest = next(picture for picture in section.pictures if "nearest pairs in pixels" in picture.caption)
    which = "train_003 slice 1, mirrored (0)" if mirrored else "train_003 slice 1 (0)"
    assert f"samples above, training slices below: seed_002 and {which}" in nearest.caption
    height, width = SIZE
    assert np.array_equal(nearest.content[:height, :width], copied[4, 0].numpy())
    assert np.array_equal(nearest.content[-height:, :width], copied[4, 0].numpy())


def test_pixel_distances_are_root_mean_squares_of_values_in_0_to_1(sets, section):
    found = section.metrics["memorisation"]["pixels"]
    known = sets["training_slices"].images()
    images, training = sets["slices"].images().flatten(1), torch.cat([known, known.flip(2)]).flatten(1)
    nearest = (images[:, None] - training).square().mean(2).sqrt().amin(1)
    assert found["slices_percentile_50"] == pytest.approx(float(nearest.quantile(0.5)), rel=1e-4)


def test_samples_that_are_all_alike_are_less_diverse(sets):
    alike = sets["samples"].pixels[:1].expand(9, -1, -1, -1).clone()
    sets["samples"] = SliceSet(alike, sets["samples"].cases, sets["samples"].slice_indices)
    diversity = measure(sets).metrics["diversity"]
    assert diversity["samples_ms_ssim"] == pytest.approx(1)
    assert diversity["slices_ms_ssim"] < 0.9


def test_anatomy_is_compared_with_the_real_slices(sets, section):
    found = section.metrics["anatomy"]
    samples, real = (measure_anatomy(sets[name].pixels, batch_size=3) for name in ("samples", "slices"))
    assert set(found) == set(ANATOMY)
    for name, function in ANATOMY.items():
        torch.testing.assert_close(samples[name], function(sets["samples"].images()))
        expected = wasserstein(samples[name], real[name]).distance
        assert found[name]["samples_wasserstein"] == pytest.approx(expected, rel=1e-4)
        assert found[name]["slices_mean"] == pytest.approx(float(real[name].mean()))


def test_a_sample_without_brain_does_not_stop_the_section(sets):
    blank = sets["samples"].pixels.clone()
    blank[0] = 0
    sets["samples"] = SliceSet(blank, sets["samples"].cases, sets["samples"].slice_indices)
    section = measure(sets)
    assert math.isfinite(section.metrics["anatomy"]["left_right_symmetry"]["samples_wasserstein"])


def test_everything_is_shown_with_its_warnings(sets, section):
    assert any("9 samples only" in warning for warning in section.warnings)
    assert not any("covariances" in warning for warning in section.warnings)  # 8 slices, 4 features
    assert all(isinstance(picture.content, Figure | np.ndarray) for picture in section.pictures)
    height, width = SIZE
    assert section.pictures[0].content.shape == (2 * height + 2, 8 * width + 14)  # 9 samples, 8 a row
    for table in section.tables:
        assert all(len(row) == len(table.header) for row in table.rows)

    sets = {name: SliceSet(one.pixels[:3], one.cases[:3], one.slice_indices[:3]) for name, one in sets.items()}
    sets["reconstructions"] = None
    section = measure(sets)
    assert "reconstructions" not in section.metrics["distance"]
    assert any("3 real slices for 4 features" in warning for warning in section.warnings)


def test_slices_of_training_people_are_warned_of(sets, section):
    assert not any("training people" in warning for warning in section.warnings)
    sets["slices"] = SliceSet(sets["slices"].pixels, ["train_000", *sets["slices"].cases[1:]], [0] * 8)
    assert any("1 of 5 people are training people too" in warning for warning in measure(sets).warnings)


def test_small_slices_go_without_ms_ssim_and_say_so(sets):
    sets = {
        name: SliceSet(one.pixels[..., 10:], one.cases, one.slice_indices) for name, one in sets.items()
    }  # 174 pixels
    section = measure(sets)
    assert section.metrics["diversity"] == {}
    assert "left out" in section.tables[1].rows[0][2]


def test_no_samples_give_a_reason(sets):
    section = measure({**sets, "samples": None})
    assert section.name == "generation"
    assert "no samples" in section.warnings[0]
    assert not section.metrics


def test_sets_that_cannot_be_compared_are_refused(sets):
    with pytest.raises(InputError, match=r"at least two samples of \(180, 184\) pixels, got 9 of \(180, 180\)"):
        measure({**sets, "samples": SliceSet(sets["samples"].pixels[..., 4:], ["a"] * 9, [-1] * 9)})
    with pytest.raises(InputError, match="at least two training slices"):
        measure({**sets, "training_slices": SliceSet(sets["samples"].pixels[:1], ["a"], [0])})
