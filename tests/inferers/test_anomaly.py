from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from monai_vqoasis.engines import AnomalyCalibrator, select_healthy
from monai_vqoasis.errors import InputError
from monai_vqoasis.inferers import (
    ANOMALY_METHODS,
    AnomalyInferer,
    PositionStatistics,
    WavefrontSampler,
    load_calibration,
)
from monai_vqoasis.metrics import brain_mask
from monai_vqoasis.networks import GatedPixelCNN, ResidualVQVAE

SIZE, FIELD = (48, 56), (40, 48)


def person(seed: int, index: int) -> torch.Tensor:
    """A disc with its own texture: 1 H W."""
    rows, columns = torch.meshgrid(*(torch.arange(n) - n // 2 for n in SIZE), indexing="ij")
    inside = torch.hypot(rows / 17.0, columns / (15.0 + 2 * index)) < 1
    texture = torch.rand(SIZE, generator=torch.Generator().manual_seed(100 * seed + index))
    return (inside * (0.5 + 0.1 * texture)).unsqueeze(0)


@pytest.fixture(scope="module")
def vqvae() -> ResidualVQVAE:
    torch.manual_seed(0)
    return ResidualVQVAE(
        channels=(8, 8), num_embeddings=16, embedding_dim=4, field_of_view=FIELD, resampled_size=(64, 64)
    ).eval()


@pytest.fixture(scope="module")
def prior(vqvae) -> GatedPixelCNN:
    torch.manual_seed(1)
    prior = GatedPixelCNN(num_embeddings=16, shape=(8, 8), channels=8, conditions={"slice_index": 3, "cdr": 5})
    torch.nn.init.normal_(prior.conditions["slice_index"].weight)  # as if trained on all
    return prior.pair_with(vqvae, (8, 8)).eval()


@pytest.fixture(scope="module")
def healthy() -> list[dict[str, object]]:
    return [
        {"image": person(p, index), "case": f"case_{p:03d}", "slice_index": index}
        for p in range(4)
        for index in range(3)
    ]


@pytest.fixture(scope="module")
def calibration_path(vqvae, prior, healthy, tmp_path_factory):
    path = tmp_path_factory.mktemp("calibration") / "calibration.pt"
    AnomalyCalibrator(vqvae, healthy, path, prior, num_restorations=2).run()
    return path


@pytest.fixture
def calibration(calibration_path):
    return load_calibration(calibration_path)


@pytest.mark.parametrize("method", ANOMALY_METHODS)
def test_the_same_slice_alone_in_a_batch_or_in_a_volume_has_the_same_map(method, vqvae, prior, calibration):
    inferer = AnomalyInferer(method, calibration, prior, num_restorations=2)
    slices = torch.stack([person(7, 0), person(8, 2), torch.zeros(1, *SIZE)])
    batch = inferer(slices, vqvae)
    volume = inferer(MetaTensor(slices.movedim(0, -1).unsqueeze(0), meta={"filename_or_obj": "a.nii"}), vqvae)
    assert torch.equal(batch, inferer(slices, vqvae))
    assert torch.allclose(inferer(slices[1:2], vqvae), batch[1:2], atol=1e-3)
    assert torch.allclose(torch.as_tensor(volume)[0].movedim(-1, 0), batch, atol=1e-3)
    assert volume.meta["filename_or_obj"] == "a.nii"
    assert (batch[~brain_mask(slices)] == 0).all()
    assert (batch[:2] != 0).any()


def test_the_restoration_draws_unusual_codes_anew_and_keeps_the_others(vqvae, prior, calibration):
    kept = {}

    class Watching(WavefrontSampler):
        def __call__(self, prior, latent_shape, seeds, given=None, conditions=None):
            drawn = super().__call__(prior, latent_shape, seeds, given, conditions)
            kept.update(given=given, drawn=drawn, conditions=conditions)
            return drawn

    image = person(7, 1).unsqueeze(0)
    inferer = AnomalyInferer(
        "restoration", calibration, prior, num_restorations=1, redraw_above=0.0, sampler=Watching()
    )
    inferer(image, vqvae)
    codes, index = vqvae.encode(image), calibration.locate(image, vqvae)
    unusual = calibration.z_grid("surprise", inferer.surprise(codes, index), index) > 0
    assert 0 < unusual.sum() < unusual.numel()
    assert torch.equal(kept["given"], codes.masked_fill(unusual, -1))
    assert torch.equal(kept["drawn"][~unusual], codes[~unusual])
    assert kept["conditions"]["slice_index"].tolist() == [1]


def test_a_position_that_the_prior_never_saw_is_not_told(vqvae, prior, calibration):
    with torch.no_grad():
        kept = prior.conditions["slice_index"].weight[1].clone()
        prior.conditions["slice_index"].weight[1] = 0
        conditions = AnomalyInferer("surprise", calibration, prior)._conditions(torch.tensor([0, 1, 2]))
        prior.conditions["slice_index"].weight[1] = kept
    assert conditions["slice_index"].tolist() == [0, -1, 2]


def test_a_slice_is_located_by_what_it_looks_like(vqvae, calibration):
    slices = torch.stack([person(9, index) for index in (2, 0, 1)])
    assert calibration.locate(slices, vqvae).tolist() == [2, 0, 1]


def test_the_threshold_is_what_that_share_of_left_out_people_exceeds(vqvae, healthy, calibration):
    expected = []
    for left_out in {item["case"] for item in healthy}:
        statistics = PositionStatistics(3, (8, 8))
        inferer = AnomalyInferer("residual")
        for item in healthy:
            raw = inferer.raw(item["image"].unsqueeze(0), vqvae, torch.tensor([item["slice_index"]]))
            statistics.add(item["case"], item["slice_index"], *(vqvae.pool(v)[0, 0] for v in (raw, raw.square())))
        mean, std, _ = statistics.estimate(without=left_out)
        for item in (item for item in healthy if item["case"] == left_out):
            image = item["image"].unsqueeze(0)
            raw = inferer.raw(image, vqvae, torch.tensor([item["slice_index"]]))
            spread = [vqvae.spread(v[None, None, item["slice_index"]], SIZE) for v in (mean, std)]
            expected.append(((raw - spread[0]) / spread[1])[brain_mask(image)])
    z = torch.cat(expected)
    for fraction in (0.1, 0.01):
        assert abs((z > calibration.threshold("residual", fraction)).float().mean() - fraction) < 1 / len(z) + 1e-4
    between = calibration.threshold("residual", 0.03)
    assert calibration.threshold("residual", 0.05) < between < calibration.threshold("residual", 0.02)


def test_people_whom_no_others_are_near_set_no_threshold(vqvae, healthy, tmp_path):
    apart = [{**item, "slice_index": item["slice_index"] + 20} for item in healthy if item["case"] == "case_000"]
    assert apart
    calibration = AnomalyCalibrator(vqvae, [i for i in healthy if i["case"] != "case_000"], tmp_path / "a.pt").run()
    others = [item for item in healthy if item["case"] != "case_000"]
    with_one_apart = AnomalyCalibrator(vqvae, others + apart, tmp_path / "b.pt").run()
    assert with_one_apart.threshold("residual") == pytest.approx(calibration.threshold("residual"), rel=1e-3)
    two = [next(item for item in healthy if item["case"] != "case_000"), apart[0]]
    with pytest.raises(InputError, match="no two of these have any"):
        AnomalyCalibrator(vqvae, two, tmp_path / "c.pt").run()
    assert not (tmp_path / "c.pt").exists()


def test_statistics_are_those_of_each_position():
    values = torch.rand(50, 4, 4, dtype=torch.float64) + torch.arange(4)
    statistics = PositionStatistics(1, (4, 4))
    for number, one in enumerate(values):
        statistics.add(f"case_{number:03d}", 0, one, one.square())
    mean, std, _ = statistics.estimate()
    assert (mean.diff(dim=2) > 0).all()
    assert mean.mean() == pytest.approx(values.mean().item(), abs=0.3)
    assert (std > 0).all()
    # a position that is the same in everyone is told apart from one that varies
    values[:, :, :2] = 0.5
    values[:, :, 2:] = torch.rand(50, 4, 2, dtype=torch.float64) * 10
    statistics = PositionStatistics(1, (4, 4))
    for number, one in enumerate(values):
        statistics.add(f"case_{number:03d}", 0, one, one.square())
    _, std, _ = statistics.estimate()
    assert (std[..., 3] > 1.5 * std[..., 0]).all()


def test_what_is_missing_or_belongs_elsewhere_is_named(vqvae, prior, healthy, calibration, tmp_path):
    with pytest.raises(InputError, match="surprise needs a trained prior"):
        AnomalyInferer("surprise", calibration)
    with pytest.raises(InputError, match="method must be one of residual"):
        AnomalyInferer("magic", calibration)
    with pytest.raises(InputError, match=r"calibrate\.json"):
        AnomalyInferer("residual")(torch.rand(1, 1, *SIZE), vqvae)
    other = ResidualVQVAE(channels=(8, 8), num_embeddings=16, embedding_dim=4, field_of_view=FIELD).eval()
    with pytest.raises(InputError, match="another VQ-VAE"):
        AnomalyInferer("residual", calibration)(torch.rand(1, 1, *SIZE), other)
    with pytest.raises(InputError, match="healthy_fraction must be"):
        calibration.threshold("residual", 0.5)
    with pytest.raises(InputError, match="two people"):
        AnomalyCalibrator(vqvae, healthy[:3], tmp_path / "c.pt").run()
    AnomalyCalibrator(vqvae, healthy, tmp_path / "c.pt").run()
    with pytest.raises(InputError, match="does not know surprise"):
        AnomalyInferer("surprise", load_calibration(tmp_path / "c.pt"), prior)(person(7, 0).unsqueeze(0), vqvae)
    torch.save({"a": torch.zeros(1)}, tmp_path / "d.pt")
    with pytest.raises(InputError, match=r"d\.pt: holds no calibration"):
        load_calibration(tmp_path / "d.pt")


def test_a_brain_that_the_network_does_not_see_is_no_brain_to_judge(vqvae, calibration):
    twice = torch.nn.functional.interpolate(person(7, 1).unsqueeze(0), scale_factor=2)
    with pytest.raises(InputError, match=r"46% of the brain lies outside of the middle 40x48 pixels"):
        AnomalyInferer("residual", calibration)(twice, vqvae)


def test_the_healthy_are_those_rated_0():
    datalist = [{"case": "case_001"}, {"case": "case_002"}, {"case": "case_003"}]
    assert select_healthy(datalist, {"case_001": 0, "case_002": 2}) == datalist[:1]
    assert select_healthy(datalist, {}) == datalist
    with pytest.raises(InputError, match="dementia rating"):
        select_healthy(datalist, {"case_001": 1})
