from __future__ import annotations

import errno
import pickle
import resource
import signal
import time

import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import load
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from monai_vqoasis.errors import InputError, StorageError, find_user_error
from monai_vqoasis.handlers import EarlyStop, TrainingCheckpoint
from monai_vqoasis.handlers.checkpoint import AtomicSaver
from monai_vqoasis.handlers.tensorboard import LazySummaryWriter


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


def test_a_run_that_was_stopped_early_stays_stopped(tmp_path, caplog):
    Scripted(tmp_path, [3.0, 2.0, 2.5, 2.4, 1.0], patience=2)
    with caplog.at_level("INFO", logger="monai_vqoasis"):
        again = Scripted(tmp_path, [3.0, 2.0, 2.5, 2.4, 1.0], patience=2, resume=True)
    assert again.trainer.state.epoch == 4
    assert "stopped early after 4 epochs; raise --early_stopping_patience" in caplog.text
    more = Scripted(tmp_path, [3.0, 2.0, 2.5, 2.4, 1.0], patience=3, resume=True)
    assert more.trainer.state.epoch == 5


def test_a_new_run_never_goes_on_with_the_state_of_another(tmp_path):
    Scripted(tmp_path, [3.0, 2.0])
    with pytest.raises(ZeroDivisionError):
        Scripted(tmp_path, [Killed()])
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["trainer"]["epoch"] == 0


class Killed:
    """A metric on which a run ends."""

    def __mul__(self, other):
        raise ZeroDivisionError

    __rmul__ = __mul__


@pytest.mark.parametrize("space", [0, 100])
def test_a_full_disk_is_said_and_leaves_the_last_good_files(tmp_path, space):
    Scripted(tmp_path, [3.0, 2.0])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (space, limits[1]))
    try:
        with pytest.raises(
            StorageError, match=r"\.pt: cannot be written \(.*\), what was there before is left as it was"
        ):
            Scripted(tmp_path, [3.0, 2.0, 1.0], resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_full_disk_is_said_wherever_it_is_noticed():
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "picture.png")
        except OSError as error:
            raise RuntimeError("an engine failed") from error
    except RuntimeError as error:
        assert str(find_user_error(error)) == "picture.png: cannot be written (No space left on device); make room."


def test_a_damaged_checkpoint_is_never_loaded(tmp_path):
    Scripted(tmp_path, [3.0])
    whole = (tmp_path / "checkpoint.pt").read_bytes()
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    place = whole.index(state["model"]["weight"].numpy().tobytes())
    flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    for content in (b"", whole[:40], whole[: len(whole) // 2], whole[:-1], flipped, b"no zip", pickle.dumps(Killed())):
        (tmp_path / "checkpoint.pt").write_bytes(content)
        with pytest.raises(InputError, match=r"checkpoint\.pt: is not a checkpoint of tensors only, or is damaged"):
            Scripted(tmp_path, [3.0, 2.0], resume=True)
    torch.save(state["model"], tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match=r"it has no best, early_stop, model, trainer: it is not this training's"):
        Scripted(tmp_path, [3.0, 2.0], resume=True)


def test_the_log_goes_on_where_the_state_was_saved(tmp_path):
    writer = LazySummaryWriter(tmp_path)
    assert writer.state_dict() == {}
    for step in range(3):
        writer.add_scalar("loss", step, step)
        if step == 1:
            state = writer.state_dict()
    writer.close()
    time.sleep(1.1)  # a log's name has its second
    resumed = LazySummaryWriter(tmp_path)
    resumed.load_state_dict(state)
    resumed.add_scalar("loss", 20, 2)
    resumed.close()
    log = EventAccumulator(str(tmp_path))
    log.Reload()
    assert [(event.step, event.value) for event in log.Scalars("loss")] == [(0, 0.0), (1, 1.0), (2, 20.0)]
