from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from monai_vqoasis.networks import MaskedCodeConv2d, MaskedConv2d


@pytest.mark.parametrize(("mask_type", "kernel_size"), [("A", 3), ("A", 7), ("B", 1), ("B", 3), ("B", 5)])
def test_gradient_comes_from_earlier_positions_only(mask_type, kernel_size):
    conv = MaskedConv2d(3, 4, kernel_size, mask_type)
    x = torch.randn(1, 3, 9, 9, requires_grad=True)
    conv(x)[:, :, 4, 4].sum().backward()
    reached = (x.grad.abs().sum((0, 1)) > 0).flatten()
    centre, reach = 4 * 9 + 4, kernel_size // 2
    window = torch.zeros(9, 9, dtype=torch.bool)
    window[4 - reach : 5 + reach, 4 - reach : 5 + reach] = True
    earlier = torch.arange(81) < centre + (mask_type == "B")
    assert torch.equal(reached, window.flatten() & earlier)
    assert torch.equal(conv.weight.grad != 0, conv.mask.expand_as(conv.weight))
    assert set(conv.taps()) == {(i // 9 - 4, i % 9 - 4) for i in reached.nonzero().flatten().tolist()}


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 9), (1, 12, 3)])
def test_look_ups_are_the_convolution_of_one_hot_codes(shape):
    conv = MaskedCodeConv2d(11, 6, 7).double()
    codes = torch.randint(11, shape)
    one_hot = F.one_hot(codes, 11).movedim(-1, 1).double()
    assert torch.allclose(conv(codes), conv(one_hot), atol=1e-12)
    weights = torch.randn(shape[0], 6, *shape[1:], dtype=torch.float64)
    gradients = []
    for source in (codes, one_hot):
        conv.zero_grad()
        (conv(source) * weights).sum().backward()
        gradients.append((conv.weight.grad.clone(), conv.bias.grad.clone()))
    assert torch.allclose(gradients[0][0], gradients[1][0], atol=1e-12)
    assert torch.allclose(gradients[0][1], gradients[1][1], atol=1e-12)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="odd"):
        MaskedConv2d(1, 1, 4, "A")
    with pytest.raises(ValueError, match="mask_type"):
        MaskedConv2d(1, 1, 3, "C")
