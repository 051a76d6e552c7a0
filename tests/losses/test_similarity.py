from __future__ import annotations

import pytest
import torch
from monai.losses import SSIMLoss

from monai_vqoasis.losses import StructuralSimilarityLoss
from monai_vqoasis.metrics import ssim


@pytest.mark.parametrize(
    ("size", "arguments"), [((40, 24), {}), ((11, 11), {}), ((33, 50), {"win_size": 7}), ((20, 20), {"win_size": 4})]
)
def test_value_and_gradient_are_those_of_monai(size, arguments):
    torch.manual_seed(0)
    image = torch.rand(3, 2, *size)
    noisy = (image + 0.1 * torch.randn_like(image)).requires_grad_()
    ours, monais = StructuralSimilarityLoss(**arguments), SSIMLoss(spatial_dims=2, **arguments)
    found, expected = ours(noisy, image), monais(noisy, image)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        *(torch.autograd.grad(value, noisy)[0] for value in (found, expected)), rtol=1e-4, atol=1e-7
    )


def test_what_is_minimised_is_what_is_measured():
    torch.manual_seed(0)
    image = torch.rand(4, 1, 32, 48)
    noisy = (image + 0.1 * torch.randn_like(image)).clamp(0, 1)
    torch.testing.assert_close(1 - StructuralSimilarityLoss()(noisy, image), ssim(noisy, image).mean())


def test_it_has_no_state_of_its_own_and_tells_an_image_too_small():
    loss = StructuralSimilarityLoss()
    assert not loss.state_dict()
    with pytest.raises(RuntimeError):
        loss(torch.rand(1, 1, 10, 40), torch.rand(1, 1, 10, 40))
