from __future__ import annotations

import csv

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from PIL import Image

from monai_vqoasis.engines import prepare_image_batch
from monai_vqoasis.handlers import EpochSummary, ReconstructionPictures, SamplePictures
from monai_vqoasis.inferers import AncestralSampler
from monai_vqoasis.networks import VQVAE, PixelCNN
from tests.networks.test_vqvae import SMALL


def test_the_summary_has_a_row_an_epoch_and_counts_items(tmp_path, caplog):
    trainer, evaluator = Engine(lambda *_: None), Engine(lambda *_: None)
    summary = EpochSummary(evaluator, tmp_path / "metrics.csv")
    summary.attach(trainer)

    @trainer.on(Events.EPOCH_STARTED)
    def _(engine):
        engine.state.metrics = {"loss": 1.0 / engine.state.epoch}
        if engine.state.epoch != 1:  # the first epoch is not validated
            evaluator.state.metrics = {"psnr": 20.0 + engine.state.epoch, "codes_used": 7}
            evaluator.fire_event(Events.COMPLETED)

    batches = [{"image": torch.zeros(4, 1)}, {"image": torch.zeros(2, 1)}]
    with caplog.at_level("INFO", logger="monai_vqoasis"):
        trainer.run(batches, max_epochs=2)
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["validate_psnr"] for row in rows] == ["", "22.0"]
    assert list(rows[0])[-2:] == ["seconds", "items_per_second"]
    assert float(rows[1]["train_loss"]) == 0.5
    assert "epoch 2/2 | train loss 0.5 | validate psnr 22, codes_used 7" in caplog.text
    trainer.state.max_epochs = None
    trainer.run(batches, max_epochs=1)
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 2


def test_pictures_show_slices_over_what_became_of_them(tmp_path):
    images = torch.rand(6, 1, 16, 24)
    network = VQVAE(**SMALL).eval()
    evaluator = SupervisedEvaluator(
        device="cpu",
        val_data_loader=DataLoader([{"image": i} for i in images], batch_size=1),
        network=network,
        prepare_batch=prepare_image_batch,
        val_handlers=[ReconstructionPictures(tmp_path, "epoch_{epoch}.png", num_slices=3)],
        decollate=False,
    )
    evaluator.run(5)
    picture = np.asarray(Image.open(tmp_path / "epoch_5.png")).astype(float) / 255
    assert picture.shape == (3 * 16 + 2 * 2, 3 * 24 + 2 * 2)
    for column, index in enumerate((0, 2, 4)):
        tile = picture[:, column * 26 : column * 26 + 24]
        back = network(images[index : index + 1])[0, 0].clamp(0, 1).detach().numpy()
        assert np.allclose(tile[:16], images[index, 0].numpy(), atol=1 / 255)
        assert np.allclose(tile[18:34], back, atol=1 / 255)
        error = np.clip(4 * np.abs(images[index, 0].numpy() - back), 0, 1)
        assert np.allclose(tile[36:], error, atol=1 / 255)


def test_samples_are_those_of_the_prior_as_it_stands_and_training_goes_on(tmp_path):
    vqvae = VQVAE(**SMALL).eval()
    torch.nn.init.normal_(vqvae.quantizer.embedding)
    prior = PixelCNN(16, channels=8, hidden_channels=4, num_blocks=1).pair_with(vqvae, (2, 3)).train()
    before = torch.get_rng_state()
    engine = Engine(lambda *_: None)
    SamplePictures(prior, vqvae, tmp_path, num_samples=2).attach(engine)
    engine.run([0])
    assert prior.training
    assert torch.equal(torch.get_rng_state(), before)
    picture = np.asarray(Image.open(tmp_path / "samples_epoch_001.png")).astype(float) / 255
    images = vqvae.decode(AncestralSampler()(prior, (2, 3), [0, 1])).clamp(0, 1).detach()
    assert np.allclose(picture[:, :24], images[0, 0].numpy(), atol=1 / 255)
    assert np.allclose(picture[:, 26:], images[1, 0].numpy(), atol=1 / 255)
