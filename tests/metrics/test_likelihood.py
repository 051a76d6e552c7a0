from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Engine

from monai_vqoasis.metrics import bits_per_slice, likelihood_metrics


def test_an_untrained_guess_costs_log2_k_bits_a_code():
    assert bits_per_slice(math.log(256), (32, 32)) == pytest.approx(8192)
    codes = torch.randint(4, (3, 5, 5))
    engine = Engine(lambda engine, batch: {"pred": torch.zeros(len(batch), 4, 5, 5), "label": batch})
    for name, metric in likelihood_metrics((5, 5)).items():
        metric.attach(engine, name)
    engine.run([codes[:2], codes[2:]])
    assert engine.state.metrics["nats_per_code"] == pytest.approx(math.log(4))
    assert engine.state.metrics["bits_per_slice"] == pytest.approx(50)
    assert engine.state.metrics["accuracy"] == pytest.approx((codes == 0).float().mean().item())
