from __future__ import annotations

import itertools

import pytest
import torch

from monai_vqoasis.inferers import AncestralSampler, WavefrontSampler, draw_codes
from monai_vqoasis.networks import PixelCNN


def random_prior(num_embeddings: int = 6, **kwargs: int) -> PixelCNN:
    """A prior with peaked predictions and batch norm statistics as after training."""
    prior = PixelCNN(num_embeddings, **{"channels": 16, "hidden_channels": 8, "num_blocks": 2, **kwargs})
    for module in prior.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    torch.nn.init.normal_(prior.head[-1].weight, 0, 0.5)
    return prior.eval()


@pytest.mark.parametrize("sampler", [AncestralSampler(), WavefrontSampler()])
def test_samples_follow_the_distribution_of_the_network(sampler):
    prior = random_prior(3).double()
    grids = torch.tensor(list(itertools.product(range(3), repeat=4))).view(-1, 2, 2)
    with torch.no_grad():
        log_p = prior(grids).log_softmax(1).gather(1, grids.unsqueeze(1)).sum((1, 2, 3))
    assert log_p.exp().sum() == pytest.approx(1)  # the chain rule: a distribution over all 81 grids
    n = 4000
    samples = sampler(prior, (2, 2), range(n)).view(n, 4)
    index = (samples * torch.tensor([27, 9, 3, 1])).sum(1)
    observed = torch.bincount(index, minlength=81).double()
    expected = log_p.exp() * n
    kept = expected > 5
    chi_square = ((observed - expected)[kept].square() / expected[kept]).sum()
    degrees = int(kept.sum())
    assert chi_square < degrees + 4 * (2 * degrees) ** 0.5


def test_a_sample_depends_on_its_seed_and_not_on_its_batch():
    prior = random_prior()
    together = AncestralSampler()(prior, (6, 5), [3, 1, 4, 1, 5])
    assert torch.equal(together[1], together[3])
    assert not torch.equal(together[0], together[2])
    for row, seed in zip(together, [3, 1, 4, 1, 5], strict=True):
        assert torch.equal(AncestralSampler()(prior, (6, 5), [seed])[0], row)


@pytest.mark.parametrize("sampler", [AncestralSampler(), WavefrontSampler()])
def test_given_codes_are_kept_and_seen(sampler):
    prior = random_prior()
    given = torch.randint(-1, 6, (4, 5, 5))
    sampled = sampler(prior, (5, 5), range(4), given)
    assert torch.equal(sampled[given >= 0], given[given >= 0])
    assert sampled.min() >= 0
    full = torch.randint(0, 6, (2, 5, 5))
    assert torch.equal(sampler(prior, (5, 5), range(2), full), full)
    # with everything given but the last code, that code is drawn from p(last | the others)
    draws = full[:1].repeat(500, 1, 1)
    draws[:, -1, -1] = -1
    with torch.no_grad():
        p = prior.double()(full[:1]).softmax(1)[0, :, -1, -1]
    share = torch.bincount(sampler(prior, (5, 5), range(500), draws)[:, -1, -1], minlength=6) / 500
    assert (share - p).abs().max() < 0.1


def test_drawing_inverts_the_cumulative_distribution():
    logits = torch.tensor([0.5, -1.0, 2.0, -torch.inf, 0.0], dtype=torch.float64)
    n = 100_000
    uniforms = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    for temperature in (0.5, 1.0, 2.0):
        codes = draw_codes(logits.expand(n, -1), uniforms, temperature)
        share = torch.bincount(codes, minlength=5) / n
        assert torch.allclose(share.double(), (logits / temperature).softmax(0), atol=2 / n)
    edges = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert draw_codes(torch.tensor([[-torch.inf, 0.0, -torch.inf]]).expand(2, -1), edges).tolist() == [1, 1]


def test_top_k_and_top_p_restrict_the_choice():
    logits = torch.log(torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=torch.float64))
    n = 1000
    uniforms = (torch.arange(n, dtype=torch.float64) + 0.5) / n

    def shares(**kwargs: float) -> list[float]:
        return (torch.bincount(draw_codes(logits.expand(n, -1), uniforms, **kwargs), minlength=4) / n).tolist()

    assert shares(top_k=1) == [0, 1, 0, 0]
    assert shares(top_k=2) == pytest.approx([0, 4 / 7, 0, 3 / 7], abs=2 / n)
    assert shares(top_k=9) == pytest.approx([0.1, 0.4, 0.2, 0.3], abs=2 / n)
    assert shares(top_p=0.05) == [0, 1, 0, 0]
    assert shares(top_p=0.71) == pytest.approx([0, 4 / 9, 2 / 9, 3 / 9], abs=2 / n)
    assert shares(top_p=1.0) == shares()


@pytest.mark.parametrize("kwargs", [{"temperature": 0}, {"top_k": 0}, {"top_p": 0}, {"top_p": 1.1}])
def test_wrong_arguments_are_refused(kwargs):
    with pytest.raises(ValueError, match="must"):
        AncestralSampler(**kwargs)


@pytest.mark.parametrize(
    "given", [torch.zeros(1, 2, 3, dtype=torch.int64), torch.full((1, 2, 2), 6), torch.zeros(1, 2, 2)]
)
def test_wrong_given_codes_are_refused(given):
    with pytest.raises(ValueError, match="given must"):
        AncestralSampler()(random_prior(), (2, 2), [0], given)
