"""Tasks of the app, without a server."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from monai_vqoasis.errors import InputError
from tests.conftest import CONFIGS

pytest.importorskip("monailabel")


class Notes:
    """A datastore of what is noted of unlabelled images."""

    def __init__(self, notes):
        self.notes = notes

    def refresh(self):
        pass

    def get_unlabeled_images(self):
        return list(self.notes)

    def get_image_info(self, image_id):
        return self.notes[image_id]


def test_images_that_cannot_be_read_are_passed_over():
    from monai_vqoasis.label.strategies import ByAnomaly

    bad = {"anomaly_score": None, "worst_slice": None, "anomaly_error": "broken.png: is damaged"}
    good = {"anomaly_score": 2.0, "worst_slice": 0, "anomaly_error": None}
    choose = ByAnomaly(most=True)
    assert choose({}, Notes({"broken": bad, "good": good}))["id"] == "good"
    assert choose({}, Notes({"broken": bad})) is None
    assert choose({}, Notes({})) is None
    with pytest.raises(InputError, match="none of the 1 unlabelled images has a score yet"):
        choose({}, Notes({"broken": bad, "new": {}}))


def test_two_of_those_held_out_can_be_compared():
    from monai_vqoasis.label.training import hold_out

    positions = {"a": {0}, "b": {10}, "c": {20, 25}, "d": {16}, "e": {31}}  # of c, b and d alone are near
    chosen = [hold_out(positions, 0.1, seed) for seed in range(20)]
    assert {frozenset(one) for one in chosen} == {frozenset("cd"), frozenset("bd"), frozenset("ce")}
    assert all(len(hold_out(positions, 0.9, seed)) == 4 for seed in range(5))
    with pytest.raises(InputError, match="no two of these have slices within 6 positions"):
        hold_out({"a": {0}, "b": {10}, "c": {20}}, 0.2, 0)


def test_requests_that_come_together_take_turns(tmp_path, monkeypatch):
    from monai_vqoasis.label.infers import BundleInferTask, ViewTask
    from monai_vqoasis.label.weights import AppBundle

    bundle = AppBundle(tmp_path)
    bundle.copy_from(CONFIGS.parent)
    at_work, most = [], []

    def call(self, request, callbacks=None):
        at_work.append(request)
        most.append(len(at_work))
        time.sleep(0.05)
        at_work.pop()
        return "", {}

    monkeypatch.setattr(BundleInferTask, "__call__", call)
    task = ViewTask(bundle, {}, "anomaly", "")
    with ThreadPoolExecutor(4) as threads:
        assert len(list(threads.map(task, [{}] * 4))) == 4
    assert max(most) == 1
