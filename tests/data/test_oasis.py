from __future__ import annotations

import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandGaussianNoised
from PIL import Image

from monai_vqoasis.data import OASISSliceDataset, load_slice_datalist, parse_slice_name
from monai_vqoasis.errors import InputError
from monai_vqoasis.transforms import LoadSliced


def test_the_datalist_is_in_natural_order(dataset_dir):
    for index in (3, 20, 100):
        source = dataset_dir / "keras_png_slices_train" / "case_002_slice_1.nii.png"
        shutil.copy(source, source.with_name(f"case_002_slice_{index}.nii.png"))
    items = load_slice_datalist(dataset_dir, "train")
    found = [(item["case"], item["slice_index"]) for item in items]
    assert found == [
        *[("case_001", i) for i in (0, 1, 2)],
        *[("case_002", i) for i in (0, 1, 2, 3, 20, 100)],
        *[("case_010", i) for i in (0, 1, 2)],
    ]
    assert all(parse_slice_name(item["image"]) == (item["case"], item["slice_index"]) for item in items)


def test_the_dataset_holds_the_pixels_of_the_files(dataset_dir):
    dataset = OASISSliceDataset(dataset_dir, "validate", LoadSliced("image"))
    assert len(dataset) == 3
    for item, entry in zip(dataset, load_slice_datalist(dataset_dir, "validate"), strict=True):
        pixels = np.asarray(Image.open(entry["image"])).astype(np.float32) / 255
        assert torch.equal(torch.as_tensor(item["image"])[0], torch.from_numpy(pixels))


def test_a_ready_list_is_taken_as_it_is(dataset_dir):
    data = load_slice_datalist(dataset_dir, "train")[4:5]
    dataset = OASISSliceDataset(data=data, transform=Compose([LoadSliced("image")]))
    assert [item["slice_index"] for item in dataset] == [data[0]["slice_index"]]


def damage(dataset_dir, kind):
    folder = dataset_dir / "keras_png_slices_train"
    victim = folder / "case_001_slice_1.nii.png"
    if kind == "missing folder":
        shutil.rmtree(dataset_dir)
        return dataset_dir
    if kind == "empty folder":
        shutil.rmtree(dataset_dir)
        dataset_dir.mkdir()
        return folder
    if kind == "section without slices":
        shutil.rmtree(folder)
        folder.mkdir()
        return folder
    if kind == "name":
        victim = victim.rename(folder / "case_001-1.png")
    elif kind == "truncated":
        victim.write_bytes(victim.read_bytes()[:-60])
    elif kind == "zero bytes":
        victim.write_bytes(b"")
    elif kind == "text":
        victim.write_text("not a picture")
    elif kind == "size":
        Image.new("L", (48, 44)).save(victim, format="PNG")
    elif kind == "colour":
        Image.new("RGB", (48, 40), (255, 0, 0)).save(victim, format="PNG")
    elif kind == "case in two sections":
        shutil.copy(victim, dataset_dir / "keras_png_slices_test" / victim.name)
        return folder
    return victim


@pytest.mark.parametrize(
    "kind",
    [
        "missing folder",
        "empty folder",
        "section without slices",
        "name",
        "truncated",
        "zero bytes",
        "text",
        "size",
        "colour",
        "case in two sections",
    ],
)
@pytest.mark.parametrize("cache_rate", [1.0, 0.0])
def test_bad_input_is_one_sentence_that_names_it(dataset_dir, kind, cache_rate):
    named = damage(dataset_dir, kind)
    with pytest.raises(InputError) as caught:
        list(OASISSliceDataset(dataset_dir, "train", LoadSliced("image"), cache_rate=cache_rate))
    assert str(caught.value).startswith(f"{named}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cache_rate", [1.0, 0.0])
def test_random_transforms_depend_on_seed_epoch_and_item_alone(dataset_dir, cache_rate):
    def images(seed, epoch, order):
        transform = Compose([LoadSliced("image"), RandGaussianNoised("image", 1.0)])
        dataset = OASISSliceDataset(dataset_dir, "train", transform, cache_rate=cache_rate, seed=seed)
        dataset.epoch = epoch
        return {index: torch.as_tensor(dataset[index]["image"]) for index in order}

    forwards, backwards = images(1, 3, range(9)), images(1, 3, reversed(range(9)))
    assert all(torch.equal(forwards[index], backwards[index]) for index in range(9))
    clean = [torch.as_tensor(item["image"]) for item in OASISSliceDataset(dataset_dir, "train", LoadSliced("image"))]
    noise = [forwards[index] - clean[index] for index in range(9)]
    assert not any(torch.allclose(a, b) for a, b in pairwise(noise))
    for seed, epoch in ((1, 4), (2, 3)):
        assert not torch.equal(images(seed, epoch, [5])[5], forwards[5])


def test_an_unknown_section_is_refused(dataset_dir):
    with pytest.raises(InputError, match="section must be one of train, validate, test"):
        load_slice_datalist(dataset_dir, "training")


def test_real_slices_load_and_people_are_in_one_section(oasis_dir):
    cases = {s: {i["case"] for i in load_slice_datalist(oasis_dir, s)} for s in ("train", "validate", "test")}
    assert not cases["train"] & cases["validate"]
    assert not cases["test"] & (cases["train"] | cases["validate"])
    item = OASISSliceDataset(oasis_dir, "validate", LoadSliced("image"), cache_rate=0.0)[0]
    assert item["image"].shape == (1, 256, 256)
    assert item["image"].min() == 0
    assert 0.5 < item["image"].max() <= 1
