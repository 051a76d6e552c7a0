from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from monai_vqoasis.evaluation import ConditionsSection, SliceSet, to_bytes
from monai_vqoasis.networks import GatedPixelCNN, PixelCNN

POSITIONS = 4


class Discs(torch.nn.Module):
    """Decodes code p + 4 r to a bright disc whose size tells the position p, with a dark middle that tells rating r."""

    num_embeddings = 2 * POSITIONS
    quantizer = SimpleNamespace(embedding=torch.arange(8.0).unsqueeze(1))

    def decode(self, codes):
        rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
        distance = ((rows - 31.5) ** 2 + (columns - 31.5) ** 2).sqrt()
        code = codes[:, 0, 0].view(-1, 1, 1)
        position, rating = code % POSITIONS, code // POSITIONS
        image = 0.8 * (distance < 18 + 3 * position) - 0.7 * (distance < 3 + 4 * rating)
        return image.clamp(0, 1).unsqueeze(1)


@pytest.fixture(scope="module")
def prior():
    """Has learned that position and rating decide the code."""
    torch.manual_seed(0)
    network = GatedPixelCNN(
        8, (2, 2), 4, 16, 8, 3, 3, (1,), 0.0, conditions={"slice_index": POSITIONS, "cdr": 5}, condition_dropout=0.0
    )
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(200):
        position, rating = torch.randint(POSITIONS, (64,)), torch.randint(2, (64,))
        codes = (position + POSITIONS * rating).view(-1, 1, 1).expand(-1, 2, 2)
        loss = F.cross_entropy(network(codes, slice_index=position, cdr=rating), codes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.01
    return network.eval().pair_with(Discs(), (2, 2))


def people(numbers, cdr):
    cases = [f"case_{number:03d}" for number in numbers for _ in range(POSITIONS)]
    indices = list(range(POSITIONS)) * len(numbers)
    codes = torch.tensor([i + POSITIONS * cdr[case] for case, i in zip(cases, indices, strict=True)])
    return SliceSet(to_bytes(Discs().decode(codes.view(-1, 1, 1))), cases, indices)


CDR = {f"case_{number:03d}": number % 2 for number in range(14)}


def measure(prior, cdr=CDR):
    section = ConditionsSection(prior, Discs(), people([12, 13], CDR), people(range(12), CDR), cdr, 2)
    return section()


def test_a_prior_that_listens_draws_what_it_is_asked_for(prior):
    metrics = measure(prior).metrics
    assert metrics["slice_index"]["samples"]["median_error"] == 0
    assert metrics["slice_index"]["slices"]["median_error"] == 0
    assert metrics["slice_index"]["samples"]["num_slices"] == 2 * POSITIONS
    assert set(metrics["cdr"]) == {"0", "0.5"}
    for rating in metrics["cdr"].values():
        assert rating["samples"] == pytest.approx(rating["slices"], abs=0.003)
        assert rating["num_people"] == 6
    assert metrics["cdr"]["0.5"]["samples"] > 2 * metrics["cdr"]["0"]["samples"]


def test_one_that_does_not_is_found_out(prior):
    weight = prior.conditions["slice_index"].weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(kept.flip(0))
    metrics = measure(prior).metrics
    with torch.no_grad():
        weight.copy_(kept)
    assert metrics["slice_index"]["samples"]["median_error"] >= 1
    assert metrics["slice_index"]["slices"]["median_error"] == 0


def test_what_is_not_known_is_left_out_and_said(prior):
    section = measure(prior, cdr={})
    assert set(section.metrics) == {"slice_index"}
    assert "cases_path" in section.warnings[0]
    for nothing in (None, PixelCNN(8, 8, 4, 1)):
        section = measure(nothing)
        assert not section.metrics
        assert "not learned slice positions" in section.warnings[0]
