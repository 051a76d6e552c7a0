from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import load

from monai_vqoasis.errors import InputError
from monai_vqoasis.handlers import EarlyStop, TrainingCheckpoint
from monai_vqoasis.handlers.checkpoint import AtomicSaver


class Scripted:
    """A trainer whose evaluator reports given metrics, one an epoch, and whose weight is the epoch."""

    def __init__(self, folder, metrics, resume=False, patience=99, lower_is_better=True):
        self.network = torch.nn.Linear(1, 1)
        self.evaluator = Engine(lambda *_: None)
        self.trainer = Trainer()
        self.early_stop = EarlyStop(self.evaluator, "nats", patience, lower_is_better)
        self.checkpoint = TrainingCheckpoint(
            self.evaluator,
            {"model": self.network, "early_stop": self.early_stop},
            folder / "model.pt",
            folder / "checkpoint.pt",
            "nats",
            lower_is_better,
            resume,
        )
        self.early_stop.attach(self.trainer)

        @self.trainer.on(Events.EPOCH_COMPLETED)
        def validate(engine):
            torch.nn.init.constant_(self.network.weight, engine.state.epoch)
            self.evaluator.state.metrics = {"nats": metrics[engine.state.epoch - 1]}
            self.evaluator.fire_event(Events.COMPLETED)

        self.checkpoint.attach(self.trainer)
        self.trainer.run([0], max_epochs=len(metrics))


class Trainer(Engine):
    def __init__(self):
        super().__init__(lambda *_: None)

    def state_dict(self):
        return {"epoch": self.state.epoch}

    def load_state_dict(self, state):
        self.state.epoch = self.state.iteration = state["epoch"]
        self.state.epoch_length, self.state.max_epochs = 1, 99


def weight(path):
    return torch.load(path, weights_only=True)["weight"].item()


def test_the_best_is_the_lowest_and_the_last_is_the_last(tmp_path):
    Scripted(tmp_path, [3.0, 2.0, 2.5])
    assert weight(tmp_path / "model.pt") == 2
    last = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert last["model"]["weight"].item() == 3
    Scripted(tmp_path / "higher", [3.0, 2.0, 2.5], lower_is_better=False)
    assert weight(tmp_path / "higher" / "model.pt") == 1


def test_the_best_is_remembered_when_a_run_resumes(tmp_path):
    Scripted(tmp_path, [3.0, 2.0])
    Scripted(tmp_path, [3.0, 2.0, 2.5, 2.2], resume=True)
    assert weight(tmp_path / "model.pt") == 2
    Scripted(tmp_path, [3.0, 2.0, 2.5, 2.2, 1.9], resume=True)
    assert weight(tmp_path / "model.pt") == 5


def test_early_stopping_waits_its_patience_also_across_a_resume(tmp_path):
    scripted = Scripted(tmp_path / "a", [3.0, 2.0, 2.5, 2.4, 1.0, 0.5], patience=2)
    assert scripted.trainer.state.epoch == 4
    Scripted(tmp_path / "b", [3.0, 2.0, 2.5], patience=2)
    resumed = Scripted(tmp_path / "b", [3.0, 2.0, 2.5, 2.4, 1.0], patience=2, resume=True)
    assert resumed.trainer.state.epoch == 4


def test_a_failed_write_leaves_the_old_file(tmp_path):
    saver = AtomicSaver(tmp_path / "model.pt")
    saver({"a": torch.ones(1)}, "")

    class Unsaveable:
        def __reduce__(self):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        saver({"a": Unsaveable()}, "")
    assert torch.load(tmp_path / "model.pt", weights_only=True)["a"].item() == 1


def test_nothing_to_resume_from_is_said(tmp_path):
    with pytest.raises(InputError, match=r"checkpoint\.pt: no checkpoint to resume from"):
        Scripted(tmp_path, [1.0], resume=True)


def test_the_best_file_is_what_monai_bundle_loads(tmp_path):
    Scripted(tmp_path / "bundle" / "models", [1.0])
    network = load("bundle", model=torch.nn.Linear(1, 1), bundle_dir=tmp_path, source="github", device="cpu")
    assert network.weight.item() == 1
