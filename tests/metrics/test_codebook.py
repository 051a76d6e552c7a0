from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Engine

from monai_vqoasis.metrics import codebook_metrics, codes_used, perplexity
from monai_vqoasis.networks import VQVAEOutput


def test_perplexity_counts_equally_used_codes():
    assert perplexity(torch.tensor([5, 5, 5, 5, 0])) == pytest.approx(4)
    assert perplexity(torch.tensor([7, 0, 0])) == pytest.approx(1)
    assert perplexity(torch.tensor([3, 1])) == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))))
    assert perplexity(torch.zeros(4)) == 0
    assert codes_used(torch.tensor([0, 2, 0, 9])) == 2


def test_metrics_are_over_the_whole_epoch_and_start_anew():
    batches = [torch.tensor([[0, 1]]), torch.tensor([[1, 2]]), torch.tensor([[3, 3]])]

    def step(engine, codes):
        return {"pred": VQVAEOutput(torch.zeros(1), codes, torch.zeros(()))}

    engine = Engine(step)
    for name, metric in codebook_metrics(8).items():
        metric.attach(engine, name)
    for epoch, counts in ((batches, [1, 2, 1, 2]), (batches[1:], [1, 1, 2])):
        engine.run(epoch)
        assert engine.state.metrics["codes_used"] == len(counts)
        assert engine.state.metrics["perplexity"] == pytest.approx(perplexity(torch.tensor(counts)))
