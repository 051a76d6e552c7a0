from __future__ import annotations

import itertools

import pytest
import torch

from monai_vqoasis.inferers import bits_per_code
from tests.inferers.test_sampling import random_prior
from tests.networks.test_gated_pixelcnn import randomized


def test_bits_are_a_distribution_over_grids():
    prior = random_prior(3)
    grids = torch.tensor(list(itertools.product(range(3), repeat=4))).view(-1, 2, 2)
    bits = bits_per_code(prior, grids, batch_size=10)
    assert bits.shape == grids.shape
    assert bits.min() >= 0
    assert torch.exp2(-bits.double().sum((1, 2))).sum() == pytest.approx(1, abs=1e-5)
    # the first code costs what the network says without having seen anything
    p = prior(grids[:1]).softmax(1)[0, :, 0, 0]
    assert torch.allclose(bits[:, 0, 0], -p[grids[:, 0, 0]].log2(), atol=1e-5)


def test_the_mode_of_the_network_is_left_as_it_was():
    prior = random_prior(3).train()
    statistics = prior.stem[2].running_mean.clone()
    bits_per_code(prior, torch.zeros(2, 3, 3, dtype=torch.int64))
    assert prior.training
    assert torch.equal(prior.stem[2].running_mean, statistics)


def test_conditions_go_with_their_grids_whatever_the_batch():
    prior = randomized(conditions={"slice_index": 4}).float()
    grids, known = torch.randint(5, (7, 4, 6)), torch.tensor([0, 1, 2, 3, -1, 0, 1])
    bits = bits_per_code(prior, grids, batch_size=3, conditions={"slice_index": known})
    for i in range(7):
        alone = bits_per_code(prior, grids[i : i + 1], conditions={"slice_index": known[i : i + 1]})
        assert torch.allclose(bits[i : i + 1], alone, atol=1e-4)
    assert not torch.allclose(bits[:4], bits_per_code(prior, grids[:4]))
