from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from monai_vqoasis.losses import VQVAELoss
from monai_vqoasis.networks import VQVAE, ResidualVQVAE
from monai_vqoasis.networks.residual import ResidualBlock, UnitRange
from tests.networks.test_vqvae import SMALL as ORIGINAL

SMALL = {
    "channels": (8, 12),
    "encoder_blocks": (1, 1),
    "decoder_blocks": (1, 1),
    "num_embeddings": 16,
    "embedding_dim": 4,
}


def multiply_adds(network):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.rand(1, 1, 256, 256))
    return counter.get_total_flops() / 2


def test_same_codes_for_fewer_multiply_adds_than_the_original():
    network = ResidualVQVAE()
    assert network.latent_shape((256, 256)) == VQVAE().latent_shape((256, 256)) == (32, 32)
    assert multiply_adds(network) < multiply_adds(VQVAE())


@pytest.mark.parametrize("size", [(40, 56), (37, 50)])
def test_forward_is_encode_then_decode_at_any_size(size):
    network = ResidualVQVAE(**SMALL).eval()
    image = torch.rand(2, 1, *size)
    codes = network.encode(image)
    assert tuple(codes.shape[1:]) == network.latent_shape(size)
    assert torch.equal(network(image), network.decode(codes, size))
    assert network(image).shape == image.shape


VIEW = {**SMALL, "field_of_view": (44, 52), "resampled_size": (64, 64)}


@pytest.mark.parametrize("size", [(64, 64), (61, 67), (44, 52), (40, 50), (45, 90)])
def test_a_field_of_view_gives_the_same_grid_for_any_image_and_what_is_outside_is_black(size):
    network = ResidualVQVAE(**VIEW).eval()
    torch.nn.init.constant_(network.decoder[-2].bias, 0.5)  # so that nothing in view is black
    image = torch.rand(1, 1, *size)
    codes = network.encode(image)
    assert network.latent_shape(size) == tuple(codes.shape[1:]) == (8, 8)
    assert torch.equal(network(image), network.decode(codes, size))
    top, left = max(0, (size[0] - 44) // 2), max(0, (size[1] - 52) // 2)
    inside = (..., slice(top, top + 44), slice(left, left + 52))
    assert (network(image)[inside] > 0).all()
    outside = network(image)
    outside[inside] = 0
    assert not outside.any()
    changed = torch.rand_like(image)
    changed[inside] = image[inside]
    assert torch.equal(network.encode(changed), codes)


def test_a_field_of_view_is_where_it_was_in_the_image():
    network = ResidualVQVAE(**VIEW)
    for size in ((64, 64), (61, 67), (45, 53)):
        row, column = torch.meshgrid(*(torch.arange(n) / n for n in size), indexing="ij")
        image = ((row + column) / 2).view(1, 1, *size)
        back = network.restore(network.prepare(image), size)
        top, left = (size[0] - 44) // 2, (size[1] - 52) // 2
        inside = (..., slice(top + 2, top + 42), slice(left + 2, left + 50))
        torch.testing.assert_close(back[inside], image[inside], atol=2e-3, rtol=0)
    assert network.image_size((8, 8)) == (44, 52)
    with pytest.raises(ValueError, match="divisible by 8"):
        ResidualVQVAE(field_of_view=(44, 52), resampled_size=(60, 64))


@pytest.mark.parametrize(
    "network",
    [ResidualVQVAE(**SMALL), ResidualVQVAE(**VIEW), VQVAE(**ORIGINAL, learning="gradient", revival_threshold=0.0)],
)
def test_torchscript_encodes_decodes_and_reconstructs_the_same(network, tmp_path):
    torch.jit.script(network.eval()).save(tmp_path / "network.ts")
    script = torch.jit.load(tmp_path / "network.ts")
    for size in ((64, 64), (40, 53)):
        image = torch.rand(2, 1, *size)
        codes = network.encode(image)
        assert torch.equal(script.encode(image), codes)
        assert torch.equal(script.decode(codes, size), network.decode(codes, size))
        assert torch.equal(script.decode(codes), network.decode(codes))
        assert torch.equal(script(image), network(image))
        output = script(image, full_output=True)
        assert torch.equal(output.codes, codes)
        assert torch.equal(output.reconstruction, network(image))
    with pytest.raises(torch.jit.Error, match=r"B 1 H W, got shape \[1, 3, 64, 64\]"):
        script(torch.rand(1, 3, 64, 64))


def test_a_block_starts_as_the_identity_and_learns_all_the_same():
    block, features = ResidualBlock(6), torch.randn(2, 6, 8, 8)
    assert torch.equal(block(features), features)
    block(features).square().sum().backward()
    assert block.block[3].weight.grad.abs().sum() > 0


def test_the_output_is_clamped_and_only_what_is_wrong_is_pulled_back():
    image = torch.tensor([[-0.3, -0.3, 0.5, 1.2, 1.2]], requires_grad=True)
    target = torch.tensor([[0.0, 0.4, 0.4, 1.0, 0.9]])
    unit = UnitRange().train()
    assert torch.equal(unit(image)[0, :3], torch.tensor([0.0, 0.0, 0.5]))
    torch.testing.assert_close(unit(image), image.detach().clamp(0, 1))
    (unit(image) - target).square().sum().backward()
    black, too_dark, too_bright, white, not_white = image.grad[0]
    assert black == 0 and white.abs() < 1e-6
    assert too_dark < 0 < too_bright and not_white > 0
    assert torch.equal(unit.eval()(image), image.clamp(0, 1))


@pytest.mark.parametrize(("sign", "pulled"), [(1, [0, 1, 1]), (-1, [1, 1, 0])])
def test_nothing_pulls_an_output_further_out(sign, pulled):
    image = torch.tensor([-0.3, 0.5, 1.2], requires_grad=True)
    (sign * UnitRange().train()(image)).sum().backward()
    assert image.grad.tolist() == [sign * p for p in pulled]


def test_training_reaches_every_parameter_and_leaves_the_background_black():
    network = ResidualVQVAE(**SMALL)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    image = torch.zeros(4, 1, 48, 48)
    image[:, :, 16:32, 16:32] = torch.rand(4, 1, 1, 1) / 2 + 0.4
    losses = []
    for step in range(250):
        loss = VQVAELoss()(network(image, full_output=True), image)
        optimizer.zero_grad()
        loss.backward()
        if step == 1:  # a zero start lets no gradient into a block at the very first step
            assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10
    reconstruction = network.eval()(image)
    far = torch.ones_like(image, dtype=torch.bool)
    far[..., 8:40, 8:40] = False
    assert (reconstruction[far] == 0).float().mean() > 0.99
