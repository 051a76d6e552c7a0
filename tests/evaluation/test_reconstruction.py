from __future__ import annotations

import pytest
import torch

from monai_vqoasis.errors import InputError
from monai_vqoasis.evaluation import ReconstructionSection, SliceSet
from monai_vqoasis.metrics import FIDELITY, brain_mask, estimate_mean


def slices(number=6, size=(180, 184)):
    pixels = torch.zeros(number, 1, *size, dtype=torch.uint8)
    pixels[..., 40:140, 30:150] = torch.randint(100, 200, (number, 1, 100, 120), dtype=torch.uint8)
    return SliceSet(pixels, [f"case_{i // 2:03d}" for i in range(number)], [i % 2 for i in range(number)])


def worse(originals, amount):
    noise = torch.arange(len(originals)).view(-1, 1, 1, 1) * amount
    pixels = (originals.pixels.int() + noise).clamp(0, 255).to(torch.uint8)
    return SliceSet(pixels, originals.cases, originals.slice_indices)


def test_columns_are_the_metrics_of_each_slice_and_the_table_their_means():
    originals = slices()
    back = worse(originals, 3)
    section = ReconstructionSection(originals, back)()
    images, reconstructions = originals.images(), back.images()
    mask = brain_mask(images)
    for name, function in FIDELITY.items():
        assert section.per_slice[name] == pytest.approx(function(reconstructions, images).tolist(), rel=1e-4)
        assert section.per_slice[f"{name}_brain"] == pytest.approx(
            function(reconstructions, images, mask).tolist(), rel=1e-4
        )
    assert section.metrics["ssim"] == estimate_mean(section.per_slice["ssim"], originals.cases)
    assert section.metrics["mse_brain"].low < section.metrics["mse_brain"].value < section.metrics["mse_brain"].high


def test_best_and_worst_are_what_is_shown():
    originals = slices()
    best, median, worst = ReconstructionSection(originals, worse(originals, 3), num_shown=1)().pictures
    assert "case_000 slice 0 (inf dB)" in best.caption
    assert "case_001 slice 1" in median.caption or "case_001 slice 0" in median.caption
    assert "case_002 slice 1" in worst.caption
    height = originals.pixels.shape[2]
    assert (worst.content[:height] == originals.pixels[-1, 0].numpy()).all()


def test_slices_without_brain_are_left_out_and_told():
    originals = slices()
    originals.pixels[4:] = 0  # one person's
    back = worse(originals, 3)
    back.pixels[4:] = originals.pixels[4:]
    section = ReconstructionSection(originals, back)()
    assert section.metrics["psnr_brain"] == estimate_mean(section.per_slice["psnr_brain"][:4], originals.cases[:4])
    assert any("of 6: " in warning and "psnr_brain 3" in warning for warning in section.warnings)
    assert not any("nan" in picture.caption for picture in section.pictures)
    assert not any("leave out" in warning for warning in ReconstructionSection(slices(), worse(slices(), 3))().warnings)


def test_small_slices_go_without_ms_ssim_and_say_so():
    originals = slices(2, (170, 184))
    section = ReconstructionSection(originals, originals)()
    assert "ms_ssim" not in section.metrics
    assert any("MS-SSIM is left out" in warning for warning in section.warnings)
    assert any("One person only" in warning for warning in section.warnings)


def test_reconstructions_of_other_slices_are_refused():
    with pytest.raises(InputError, match=r"4 reconstructions .* do not belong to 6 slices"):
        ReconstructionSection(slices(6), slices(4))
