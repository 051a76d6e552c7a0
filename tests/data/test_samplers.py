from __future__ import annotations

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
