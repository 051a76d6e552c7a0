from __future__ import annotations

import pytest
import torch

from monai_vqoasis.inferers import AncestralSampler, WavefrontSampler
from monai_vqoasis.inferers.wavefront_layers import plan_layer
from monai_vqoasis.inferers.wavefront_plan import WavefrontPlan
from monai_vqoasis.networks import PixelCNN
from tests.inferers.test_sampling import random_prior
from tests.networks.test_gated_pixelcnn import randomized


@pytest.mark.parametrize("shape", [(6, 7), (1, 9), (9, 1), (11, 4)])
@pytest.mark.parametrize("batch", [1, 5, 64])
@pytest.mark.parametrize("kwargs", [{}, {"temperature": 0.6}, {"top_k": 2}, {"top_p": 0.7}])
def test_codes_are_those_of_the_plain_loop(shape, batch, kwargs):
    prior = random_prior(12)
    seeds = range(7, 7 + batch)
    given = torch.randint(-1, 12, (batch, *shape))
    for start in (None, given):
        plain = AncestralSampler(**kwargs)(prior, shape, seeds, start)
        assert torch.equal(WavefrontSampler(**kwargs)(prior, shape, seeds, start), plain)


@pytest.mark.parametrize(
    "architecture",
    [
        {"kernel_size": 3, "block_kernel_size": 5},
        {"kernel_size": 9, "block_kernel_size": 1},
        {"num_blocks": 0},
        {"num_head_layers": 0},
        {"num_blocks": 4, "num_head_layers": 3},
    ],
)
def test_any_prior_that_can_be_built_is_sampled_exactly(architecture):
    prior = random_prior(5, **architecture)
    plain = AncestralSampler()(prior, (8, 9), range(6))
    assert torch.equal(WavefrontSampler()(prior, (8, 9), range(6)), plain)


@pytest.mark.parametrize(
    "architecture",
    [{}, {"dilations": (1, 2, 3)}, {"kernel_size": 3, "dilations": (4,)}, {"block_kernel_size": 5}, {"dilations": ()}],
)
@pytest.mark.parametrize("shape", [(7, 8), (6, 8), (1, 6)])
def test_rows_scanned_from_the_middle_are_sampled_exactly(architecture, shape):
    prior = randomized(**{"conditions": {"slice_index": 4}, **architecture})
    seeds = range(40)
    conditions = {"slice_index": [seed % 5 - 1 for seed in seeds]}
    given = torch.randint(-1, 5, (40, *shape))
    for settings in ({}, {"conditions": conditions}, {"given": given, "conditions": conditions}):
        plain = AncestralSampler()(prior, shape, seeds, **settings)
        assert torch.equal(WavefrontSampler()(prior, shape, seeds, **settings), plain)
        assert len(plain.unique(dim=0)) > 10
    assert torch.equal(plain[given >= 0], given[given >= 0])


@pytest.mark.parametrize("trained", [False, True])
def test_thousands_of_grids_are_identical(trained):
    prior = random_prior(8, channels=8, hidden_channels=4)
    if trained:
        train(prior)
    plain = AncestralSampler()(prior, (5, 6), range(1000))
    assert torch.equal(WavefrontSampler()(prior, (5, 6), range(1000)), plain)
    assert len(plain.unique(dim=0)) > 900


def train(prior):
    """On grids in which a code goes on to the right or moves up by one."""
    codes = (torch.randint(8, (64, 5, 1)) + torch.randint(2, (64, 5, 6)).cumsum(2)) % 8
    optimizer = torch.optim.Adam(prior.train().parameters(), 1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(prior(codes), codes).backward()
        optimizer.step()
    prior.eval()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_codes_are_those_of_the_plain_loop_on_cuda():
    prior = random_prior(12).cuda()
    plain = AncestralSampler()(prior, (9, 7), range(64))
    assert torch.equal(WavefrontSampler()(prior, (9, 7), range(64)), plain)
    assert torch.equal(WavefrontSampler()(prior.cpu(), (9, 7), range(64)), plain.cpu())


def test_the_original_network_takes_156_waves():
    codes = torch.full((1, 32, 32), -1)
    plan = WavefrontPlan(PixelCNN(16, channels=8, hidden_channels=4).eval(), codes)
    assert len(plan.waves) == 156
    assert sorted(torch.cat([wave.grid for wave in plan.waves]).tolist()) == list(range(1024))


def test_an_unknown_layer_is_refused_by_name_or_registered():
    class Doubled(torch.nn.Module):
        def forward(self, x):
            return 2 * x

    prior = random_prior()
    prior.head.insert(0, Doubled())
    with pytest.raises(TypeError, match="Doubled"):
        WavefrontSampler()(prior, (4, 4), [0])
    plan_layer.register(Doubled, lambda module, plan: plan.add(lambda x, wave: 2 * x))
    assert torch.equal(WavefrontSampler()(prior, (4, 4), [0, 1]), AncestralSampler()(prior, (4, 4), [0, 1]))
    prior.head.insert(0, torch.nn.Conv2d(16, 16, 3, padding=1))  # would see what comes later
    with pytest.raises(TypeError, match="not causal"):
        WavefrontSampler()(prior, (4, 4), [0])
