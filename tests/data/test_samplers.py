from __future__ import annotations

import pytest

from monai_vqoasis.data import EpochSampler


def test_the_order_is_a_function_of_seed_and_epoch():
    sampler = EpochSampler(range(50), seed=3)
    first = list(sampler)
    assert sorted(first) == list(range(50))
    assert list(sampler) == first
    sampler.epoch = 1
    second = list(sampler)
    assert sorted(second) == list(range(50))
    assert second != first
    assert list(EpochSampler(range(50), seed=4)) != first


def test_a_pass_can_start_in_the_middle_once():
    sampler = EpochSampler(range(20), seed=1)
    whole = list(sampler)
    sampler.start = 8
    assert list(sampler) == whole[8:]
    assert list(sampler) == whole


@pytest.mark.parametrize(
    ("length", "replicas", "batch_size"), [(24, 2, 3), (23, 2, 3), (19, 2, 3), (22, 3, 4), (1, 4, 2)]
)
def test_processes_share_the_batches_of_one(length, replicas, batch_size):
    whole = list(EpochSampler(range(length), seed=1))
    samplers = [EpochSampler(range(length), 1, replicas, rank, batch_size) for rank in range(replicas)]
    shares = [list(sampler) for sampler in samplers]
    assert [len(sampler) for sampler in samplers] == [len(share) for share in shares]
    steps = {-(-len(share) // batch_size) for share in shares}
    assert len(steps) == 1
    joined = []
    for step in range(steps.pop()):
        parts = [share[step * batch_size : (step + 1) * batch_size] for share in shares]
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        joined += [item for part in parts for item in part]
    assert joined[:length] == whole
    assert set(joined[length:]) <= set(whole[-replicas:])
    samplers[-1].start = batch_size
    assert list(samplers[-1]) == shares[-1][batch_size:]
