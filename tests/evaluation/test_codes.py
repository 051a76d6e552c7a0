from __future__ import annotations

import pytest
import torch

from monai_vqoasis.evaluation import CodesSection, SliceSet, brain_positions, decode_book
from monai_vqoasis.networks import VQVAE

SMALL = {"encoder_channels": (4, 8, 8), "decoder_channels": (8, 8, 4), "num_embeddings": 16, "embedding_dim": 8}


def test_a_position_is_brain_where_half_of_its_pixels_are():
    pixels = torch.zeros(1, 1, 40, 44, dtype=torch.uint8)
    pixels[..., 12:32, 8:44] = 200
    inside = brain_positions(SliceSet(pixels, ["case_001"], [0]), VQVAE(**SMALL))
    expected = torch.zeros(1, 5, 6, dtype=torch.bool)
    expected[:, 1:4, 1:6] = True
    expected[:, 1, 5] = False  # a quarter: half of it is above, half outside of the slice
    assert torch.equal(inside, expected)


def test_codes_of_the_middle_lie_where_the_middle_does():
    pixels = torch.zeros(2, 1, 48, 64, dtype=torch.uint8)
    pixels[0, :, 16:24, 24:40] = 200
    pixels[1, :, 24:40, 16:32] = 200
    slices, vqvae = SliceSet(pixels, ["a", "b"], [0, 0]), VQVAE(**SMALL)
    assert torch.equal(brain_positions(slices, vqvae, (4, 6)), brain_positions(slices, vqvae)[:, 1:-1, 1:-1])


def test_background_codes_do_not_count_inside_the_brain():
    pixels = torch.zeros(2, 1, 32, 32, dtype=torch.uint8)
    pixels[..., 8:24, 8:24] = 200
    codes = torch.zeros(2, 4, 4, dtype=torch.int64)
    codes[:, 1:3, 1:3] = torch.tensor([[3, 4], [5, 6]])
    section = CodesSection(codes, SliceSet(pixels, ["a", "b"], [0, 0]), VQVAE(**SMALL))()
    assert section.metrics["codes_used"] == 5
    assert section.metrics["codes_used_brain"] == 4
    assert section.metrics["perplexity_brain"] == pytest.approx(4)
    assert section.metrics["brain_share_of_positions"] == pytest.approx(0.25)


def test_the_decoded_book_is_the_middle_of_a_constant_grid():
    vqvae = VQVAE(**SMALL).eval()
    book = decode_book(vqvae)
    for code in (0, 7, 15):
        image = vqvae.decode(torch.full((1, 25, 25), code)).clamp(0, 1)
        torch.testing.assert_close(book[code], image[0, :, 96:112, 96:112])
