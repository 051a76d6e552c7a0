from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from monai_vqoasis.data import load_slice_datalist
from monai_vqoasis.engines import write_located_slices
from monai_vqoasis.inferers import AnomalyCalibration
from monai_vqoasis.networks import ResidualVQVAE

SIZE = (48, 56)


def disc(radius: float) -> torch.Tensor:
    rows, columns = torch.meshgrid(*(torch.arange(n) - n // 2 for n in SIZE), indexing="ij")
    return (torch.hypot(rows.float(), columns.float()) < radius).float().unsqueeze(0) * 0.8


def calibrated() -> tuple[AnomalyCalibration, ResidualVQVAE]:
    """Positions 0, 1 and 2 are discs of radius 8, 14 and 20."""
    vqvae = ResidualVQVAE(channels=(4, 4), num_embeddings=8, embedding_dim=2, field_of_view=SIZE).eval()
    templates = vqvae.pool(torch.stack([disc(radius) for radius in (8, 14, 20)]))[:, 0]
    calibration = AnomalyCalibration(3, templates.shape[1:])
    calibration.template.copy_(templates)
    return calibration, vqvae


def test_the_nearest_slice_of_a_person_stands_at_each_position(tmp_path):
    volume = torch.stack([disc(radius) for radius in (0, 7, 8.1, 10, 20.2, 22)], -1)
    dataset = [
        {"image": volume, "case": "case_001"},
        {"image": disc(13), "case": "case_002"},
        {"image": disc(14), "case": "case_002"},
        {"image": disc(0), "case": "case_003"},
    ]
    files = write_located_slices(dataset, tmp_path, "train", *calibrated())
    names = [f"case_00{case}_slice_{index}.nii.png" for case, index in ((1, 0), (1, 2), (2, 1))]
    assert sorted(path.name for path in files) == names
    datalist = load_slice_datalist(tmp_path, "train")
    assert [item["image"] for item in datalist] == [str(path) for path in sorted(files)]
    for item, radius in zip(datalist, (8.1, 20.2, 14), strict=True):
        written = np.asarray(Image.open(item["image"]))
        assert written.shape == (256, 256)
        assert np.array_equal(written[104:152, 100:156], (disc(radius)[0] * 255).round().byte())
        assert written.sum() == written[104:152, 100:156].sum()
