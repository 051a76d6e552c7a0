from __future__ import annotations

import torch

from monai_vqoasis.inferers import encode_slices
from monai_vqoasis.networks import VQVAE
from tests.networks.test_vqvae import SMALL


def test_every_slice_is_encoded_once_and_keeps_its_name():
    network = VQVAE(**SMALL)
    items = [{"image": torch.rand(1, 16, 24), "case": f"case_{i:03d}", "slice_index": i % 3} for i in range(7)]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    encoded = encode_slices(network, items, batch_size=3, progress=False)
    assert [(e["case"], e["slice_index"]) for e in encoded] == [(i["case"], i["slice_index"]) for i in items]
    for item, code in zip(items, encoded, strict=True):
        assert torch.equal(code["codes"], network.encode(item["image"].unsqueeze(0))[0])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
