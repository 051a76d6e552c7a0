from __future__ import annotations

import random
import signal

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.handlers import ValidationHandler
from monai.optimizers import WarmupCosineSchedule
from monai.transforms import RandFlipd

from monai_vqoasis.data import EpochSampler, OASISSliceDataset
from monai_vqoasis.engines import StageTrainer, prepare_image_batch
from monai_vqoasis.engines.random_state import set_random_state
from monai_vqoasis.errors import InputError, NonFiniteLossError
from monai_vqoasis.handlers import EpochSummary, IterationLrSchedule, StopOnInterrupt, TrainingCheckpoint
from monai_vqoasis.losses import VQVAELoss
from monai_vqoasis.metrics import codebook_metrics, fidelity_metrics
from monai_vqoasis.networks import VQVAE
from tests.networks.test_vqvae import SMALL

SLICES = [{"image": image} for image in torch.rand(10, 1, 16, 16, generator=torch.Generator().manual_seed(9))]
# a book that revives codes at every step, at random
RANDOM = {"network": {"decay": 0.5, "revival_threshold": 0.5}}


class Rig:
    """Stage 1 on a few random slices, with all that a config puts around it."""

    def __init__(self, folder, max_epochs=4, resume=False, seed=0, batch_size=4, weight_decay=0.0, **kwargs):
        torch.manual_seed(seed)
        self.network = VQVAE(**{**SMALL, **kwargs.pop("network", {})})
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-2, weight_decay=weight_decay)
        schedule = WarmupCosineSchedule(self.optimizer, warmup_steps=2, t_total=3 * max_epochs + 3)
        slices = OASISSliceDataset(data=SLICES, transform=RandFlipd("image", 0.5, 0), progress=False)
        loader = DataLoader(
            slices, batch_size=batch_size, sampler=EpochSampler(slices, 1), generator=torch.Generator().manual_seed(0)
        )
        self.losses = []
        evaluator = SupervisedEvaluator(
            device="cpu",
            val_data_loader=DataLoader(SLICES, batch_size=4),
            network=self.network,
            prepare_batch=prepare_image_batch,
            key_val_metric=fidelity_metrics() | codebook_metrics(16),
            decollate=False,
        )
        self.checkpoint = TrainingCheckpoint(
            evaluator,
            {"model": self.network, "optimizer": self.optimizer},
            folder / "model.pt",
            folder / "checkpoint.pt",
            "psnr",
            resume=resume,
        )
        self.trainer = StageTrainer(
            device=torch.device("cpu"),
            max_epochs=max_epochs,
            train_data_loader=loader,
            network=self.network,
            optimizer=self.optimizer,
            loss_function=VQVAELoss(),
            prepare_batch=prepare_image_batch,
            train_handlers=[
                StopOnInterrupt(),
                IterationLrSchedule(schedule),
                ValidationHandler(1, evaluator),
                EpochSummary(evaluator, folder / "metrics.csv"),
                self.checkpoint,
            ],
            **kwargs,
        )

        @self.trainer.on(Events.ITERATION_COMPLETED)
        def _(engine):
            self.losses.append(engine.state.output[0]["loss"].item())

    def run(self, stop_after=None):
        if stop_after is not None:
            event = Events.ITERATION_STARTED(once=stop_after)
            self.trainer.add_event_handler(event, lambda engine: signal.raise_signal(signal.SIGINT))
        self.trainer.run()
        return self


@pytest.mark.parametrize("stop_after", [3, 4, 6])  # an epoch is 3 iterations
def test_a_resumed_run_ends_as_the_uninterrupted_one(tmp_path, stop_after):
    whole = Rig(tmp_path / "whole").run()
    first = Rig(tmp_path / "parts").run(stop_after)
    assert len(first.losses) == stop_after
    assert first.trainer.state.interrupted
    assert not whole.trainer.state.interrupted
    second = Rig(tmp_path / "parts", resume=True, seed=123).run()
    assert first.losses + second.losses == whole.losses
    expected = whole.network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in second.network.state_dict().items())
    lines = [(tmp_path / folder / "metrics.csv").read_text().splitlines() for folder in ("whole", "parts")]
    assert len(lines[0]) == 5
    strip = [[line.rsplit(",", 2)[0] for line in part] for part in lines]
    assert strip[0] == strip[1]


def test_the_same_command_gives_the_same_weights(tmp_path):
    first, second = (Rig(tmp_path / name, **RANDOM).run().network.state_dict() for name in "ab")
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_random_numbers_go_on_where_they_stood(tmp_path):
    whole = Rig(tmp_path / "whole", **RANDOM).run()
    first = Rig(tmp_path / "parts", **RANDOM).run(stop_after=6)
    second = Rig(tmp_path / "parts", resume=True, seed=123, **RANDOM).run()
    assert first.losses + second.losses == whole.losses
    saved = [torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["trainer"] for name in ("whole", "parts")]
    (expected,), (found,) = (trainer["random_states"] for trainer in saved)
    assert torch.equal(expected["torch"], found["torch"])
    drawn = []
    for _ in range(2):
        set_random_state(found, torch.device("cpu"))
        drawn.append((random.random(), np.random.rand(), torch.rand(1)))  # noqa: NPY002
    assert drawn[0] == drawn[1]


def test_the_loss_scale_goes_on_where_it_stood(tmp_path, monkeypatch):
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda *_, **__: scaler("cpu", init_scale=4.0, growth_interval=5))
    whole = Rig(tmp_path / "whole").run()
    Rig(tmp_path / "parts").run(stop_after=6)
    second = Rig(tmp_path / "parts", resume=True).run()
    assert second.trainer.scaler.state_dict() == whole.trainer.scaler.state_dict()
    assert whole.trainer.scaler.get_scale() == 16.0


def test_a_best_network_is_named_once_there_is_one(tmp_path):
    rig = Rig(tmp_path).run(stop_after=2)  # before the first validation
    assert rig.trainer.state.best_path is None and not (tmp_path / "model.pt").exists()
    rig = Rig(tmp_path, resume=True).run(stop_after=2)
    assert rig.trainer.state.best_path == tmp_path / "model.pt"
    rig = Rig(tmp_path, resume=True)
    assert rig.trainer.state.best_path == tmp_path / "model.pt"


@pytest.mark.parametrize("max_epochs", [1, 2])
def test_what_is_done_is_not_done_again(tmp_path, caplog, max_epochs):
    Rig(tmp_path, max_epochs=4).run(stop_after=7)  # in the third epoch
    files = {name: (tmp_path / name).read_bytes() for name in ("model.pt", "checkpoint.pt", "metrics.csv")}
    with caplog.at_level("INFO", logger="monai_vqoasis"):
        again = Rig(tmp_path, max_epochs=max_epochs, resume=True).run()
    assert not again.losses
    assert "already trained for 2 of" in caplog.text
    assert all((tmp_path / name).read_bytes() == content for name, content in files.items())


def test_a_resumed_run_has_the_settings_that_it_is_given(tmp_path):
    Rig(tmp_path, max_epochs=2).run()
    rig = Rig(tmp_path, max_epochs=4, resume=True)
    other = Rig(tmp_path, max_epochs=4, resume=True, weight_decay=0.5)
    assert [group["weight_decay"] for group in other.optimizer.param_groups] == [0.5]
    assert other.optimizer.state  # its moments
    fresh = WarmupCosineSchedule(torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], 1e-2), 2, 3 * 4 + 3)
    expected = [1e-2 * fresh.lr_lambda(step) for step in range(6, 12)]
    rates = []
    rig.trainer.add_event_handler(
        Events.ITERATION_STARTED, lambda engine: rates.append(rig.optimizer.param_groups[0]["lr"])
    )
    rig.run()
    assert rates == pytest.approx(expected)


def test_training_on_after_the_end_needs_more_epochs(tmp_path, caplog):
    Rig(tmp_path, max_epochs=2).run()
    again = Rig(tmp_path, max_epochs=2, resume=True)
    with caplog.at_level("INFO", logger="monai_vqoasis"):
        again.run()
    assert "already trained for 2 of 2 epochs" in caplog.text
    assert again.losses == []
    more = Rig(tmp_path, max_epochs=3, resume=True)
    more.run()
    assert len(more.losses) == 3
    expected = Rig(tmp_path / "whole", max_epochs=3)
    expected.run()
    assert more.optimizer.param_groups[0]["lr"] == expected.optimizer.param_groups[0]["lr"]


def test_another_epoch_length_cannot_be_resumed(tmp_path):
    Rig(tmp_path, max_epochs=1).run()
    with pytest.raises(InputError, match=r"checkpoint\.pt: cannot resume.*3 iterations, these have 5"):
        Rig(tmp_path, resume=True, batch_size=2)


def test_a_non_finite_loss_stops_before_the_step(tmp_path):
    rig = Rig(tmp_path, max_epochs=3)
    seen = {}

    def poison(engine):
        if engine.state.iteration == 5:
            seen["weights"] = [p.clone() for p in rig.network.parameters()]
            seen["file"] = (tmp_path / "checkpoint.pt").read_bytes()
            engine.state.batch["image"][0, 0, 0, 0] = torch.inf

    rig.trainer.add_event_handler(Events.ITERATION_STARTED, poison)
    with pytest.raises(NonFiniteLossError, match="epoch 2, iteration 2 of 3"):
        rig.run()
    assert all(torch.equal(a, b) for a, b in zip(seen["weights"], rig.network.parameters(), strict=True))
    assert rig.network.quantizer.embedding.isfinite().all()
    assert (tmp_path / "checkpoint.pt").read_bytes() == seen["file"]


def test_gradients_are_clipped(tmp_path):
    norms = []
    for limit in (None, 1e-3):
        rig = Rig(tmp_path / str(limit), max_epochs=1, max_grad_norm=limit)
        rig.run()
        norms.append(torch.stack([p.grad.norm() for p in rig.network.parameters()]).norm().item())
    assert norms[0] > 2e-3
    assert norms[1] <= 1e-3 * 1.001


def test_mixed_precision_on_a_cpu_is_bfloat16_around_float32_weights(tmp_path):
    exact, mixed = (Rig(tmp_path / str(amp), max_epochs=3, amp=amp) for amp in (False, True))
    seen = []
    mixed.network.encoder[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    losses = [torch.tensor(rig.run().losses) for rig in (exact, mixed)]
    assert set(seen[:3]) == {torch.bfloat16}
    assert all(parameter.dtype == torch.float32 for parameter in mixed.network.parameters())
    torch.testing.assert_close(*losses, rtol=0.1, atol=1e-3)
    assert not torch.equal(*losses)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_mixed_precision_trains_on_cuda():
    torch.manual_seed(0)
    network = VQVAE(**SMALL).cuda()
    losses = []
    trainer = StageTrainer(
        device=torch.device("cuda"),
        max_epochs=10,
        train_data_loader=DataLoader(SLICES, batch_size=5),
        network=network,
        optimizer=torch.optim.Adam(network.parameters(), 1e-2),
        loss_function=VQVAELoss(),
        prepare_batch=prepare_image_batch,
        amp=True,
        max_grad_norm=1.0,
    )
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: losses.append(engine.state.output[0]["loss"].item())
    )
    trainer.run()
    assert losses[-1] < losses[0] / 2


def test_batches_leave_their_metadata_behind():
    image = MetaTensor(torch.rand(2, 1, 8, 8), meta={"filename_or_obj": ["a", "b"]})
    inputs, targets, *_ = prepare_image_batch({"image": image})
    assert type(inputs) is torch.Tensor and inputs is targets
    assert torch.equal(inputs, image.as_tensor())
