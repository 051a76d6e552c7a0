from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from monai.losses import JukeboxLoss, SSIMLoss
from torch import nn

from monai_vqoasis.losses import VQVAELoss
from monai_vqoasis.networks import VQVAEOutput


@pytest.fixture
def output() -> VQVAEOutput:
    return VQVAEOutput(
        torch.rand(2, 1, 16, 24, requires_grad=True), torch.zeros(2, 2, 3, dtype=torch.int64), torch.tensor(0.3)
    )


def test_without_terms_it_is_equation_3_to_the_last_bit(output):
    image = torch.rand(2, 1, 16, 24)
    assert torch.equal(VQVAELoss()(output, image), F.mse_loss(output.reconstruction, image) + output.quantization_loss)


def test_terms_are_added_with_their_weights_and_gradients(output):
    image = torch.rand(2, 1, 16, 24)
    error = output.reconstruction - image
    amplitudes = [torch.fft.fft2(x, norm="ortho").abs() for x in (output.reconstruction, image)]
    expected = (
        error.square().mean() + 0.3 + 2 * error.abs().mean() + 0.5 * (amplitudes[0] - amplitudes[1]).square().mean()
    )
    loss = VQVAELoss([(2.0, nn.L1Loss()), (0.5, JukeboxLoss(spatial_dims=2))])(output, image)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        *(torch.autograd.grad(one, output.reconstruction, retain_graph=True)[0] for one in (loss, expected))
    )


def test_terms_are_computed_in_float32_in_mixed_precision_too(output):
    image = torch.rand(2, 1, 16, 24)
    ssim = SSIMLoss(spatial_dims=2)
    expected = VQVAELoss([(1.0, ssim)])(output, image)
    with torch.autocast("cpu"):
        assert torch.equal(VQVAELoss([(1.0, ssim)])(output, image), expected)
