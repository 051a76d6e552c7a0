from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from monai_vqoasis.networks import CodeTransformer
from monai_vqoasis.networks.transformer import RelativeBias

TINY = {
    "num_embeddings": 5,
    "shape": (7, 8),
    "channels": 8,
    "num_heads": 2,
    "hidden_channels": 12,
    "embedding_dim": 3,
    "dropout": 0.0,
}


def randomized(**kwargs):
    """With biases and embeddings that matter, as after training."""
    network = CodeTransformer(**{**TINY, **kwargs})
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network.double().eval()


@pytest.mark.parametrize("num_blocks", [0, 1, 3])
@pytest.mark.parametrize(("kernel_size", "slope"), [(3, 2), (5, 3), (5, 4), (5, 8)])
def test_a_position_sees_every_earlier_wave_and_nothing_else(num_blocks, kernel_size, slope):
    network = randomized(num_blocks=num_blocks, kernel_size=kernel_size, slope=slope)
    one_hot = F.one_hot(torch.randint(5, (1, 7, 8)), 5).movedim(-1, 1).double().requires_grad_()
    logits = network(one_hot)
    assert torch.allclose(logits, network(one_hot.argmax(1)), atol=1e-12)
    wave = network.wave((7, 8))
    for r, c in [(0, 0), (0, 7), (3, 4), (6, 0), (6, 7)]:
        (gradient,) = torch.autograd.grad(logits[:, :, r, c].sum(), one_hot, retain_graph=True)
        reached = gradient.abs().sum((0, 1)) > 0
        assert not reached[wave >= wave[r, c]].any()
        if num_blocks:  # a code is passed on by positions after it: the last wave is seen by the stem alone
            near = torch.zeros_like(reached)
            near[max(0, r - kernel_size // 2) : r + 1, max(0, c - kernel_size // 2) : c + kernel_size // 2 + 1] = True
            assert reached[(wave < wave[r, c] - 1) & ~near].float().mean().nan_to_num(1) > 0.9


def test_a_grid_may_be_smaller_but_not_larger():
    network = randomized(num_blocks=1)
    assert network(torch.randint(5, (2, 4, 6))).shape == (2, 5, 4, 6)
    with pytest.raises(ValueError, match=r"grids of up to \(7, 8\), got \(7, 9\)"):
        network(torch.randint(5, (1, 7, 9)))
    with pytest.raises(ValueError, match="slope must be at least 3"):
        CodeTransformer(**TINY, kernel_size=5, slope=2)


def test_the_bias_knows_offset_and_mirror_image():
    bias = RelativeBias(1, (6, 5))
    with torch.no_grad():
        bias.offset[0, 5 - 2, 4 + 1] = 10  # two rows up, one to the right
        bias.mirrored[0, 5, 4 - 3] = 1  # the mirrored row, three to the left
    looking = torch.tensor([[4, 3]])
    positions = torch.cartesian_prod(torch.arange(6), torch.arange(5))
    values = bias(looking, positions, (6, 5))[0, 0].view(6, 5)
    expected = torch.zeros(6, 5)
    expected[2, 4] = 10
    expected[1, 0] = 1
    assert torch.equal(values, expected)


def test_conditions_are_added_where_known_and_sometimes_left_out_in_training():
    network = randomized(num_blocks=1, conditions={"slice_index": 4, "cdr": 3}, condition_dropout=0.5)
    codes = torch.randint(5, (1, 4, 5)).expand(200, -1, -1)
    known = torch.full((200,), 2)
    without = network(codes)
    assert torch.equal(network(codes, slice_index=-torch.ones(200, dtype=torch.int64)), without)
    assert not torch.allclose(network(codes, slice_index=known), without)
    mixed = network(codes, slice_index=torch.tensor([2, -1]).repeat(100))
    torch.testing.assert_close(mixed[0], network(codes, slice_index=known)[0])
    torch.testing.assert_close(mixed[1], without[1])
    network.train()
    left_out = (network(codes, slice_index=known) - without).flatten(1).abs().amax(1) < 1e-9
    assert 60 < left_out.sum() < 140
    with pytest.raises(ValueError, match="no condition age; it has slice_index, cdr"):
        network(codes, age=known)


def test_it_learns_a_mirror_image():
    network = CodeTransformer(**TINY, num_blocks=2)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(150):
        half = torch.randint(5, (32, 3, 4))
        codes = torch.cat([half, half.flip(1)], dim=1)
        loss = F.cross_entropy(network(codes), codes, reduction="none")
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    lower = loss[:, 3:].mean()
    assert loss[:, :3].mean() > 1.55  # log(5) is 1.61: the first half is noise
    assert lower < 0.5
