from __future__ import annotations

import torch
from monai.transforms import RandFlipd

from monai_vqoasis.data import OASISSliceDataset
from monai_vqoasis.inferers import encode_slices, encode_variants
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
    assert len({code["codes"].untyped_storage().data_ptr() for code in encoded}) == 1  # or memory would fall to pieces


class PixelsAsCodes(torch.nn.Module):
    def encode(self, image):
        return (image[:, 0] * 255).long()


def test_variants_are_what_random_transforms_make_of_the_same_slices_in_other_epochs():
    network = PixelsAsCodes()
    data = [{"image": torch.rand(1, 16, 24), "case": f"case_{i:03d}", "slice_index": i} for i in range(12)]
    dataset = OASISSliceDataset(data=data, transform=RandFlipd("image", 0.5, 0), progress=False, seed=1)
    variants = encode_variants(network, dataset, 3)
    flipped = []
    for variant in variants:
        flipped.append([])
        for item, code in zip(data, variant, strict=True):
            codes = [network.encode(image.unsqueeze(0))[0] for image in (item["image"], item["image"].flip(1))]
            same = [torch.equal(code["codes"], c) for c in codes]
            assert sum(same) == 1
            flipped[-1].append(same[1])
    assert all(0 < sum(row) < 12 for row in flipped)
    assert flipped[0] != flipped[1]
