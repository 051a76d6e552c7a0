"""Retraining on the images of the datastore, without labels."""

from __future__ import annotations

import csv
import itertools
import json
import logging
import random
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import itk
import monai.bundle
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.utils.others.generic import device_list, name_to_device

from monai_vqoasis.data.oasis import parse_slice_name, section_dir
from monai_vqoasis.engines import write_located_slices
from monai_vqoasis.errors import InputError, find_user_error
from monai_vqoasis.files import replace_file
from monai_vqoasis.inferers.calibration import REACH
from monai_vqoasis.label.options import number
from monai_vqoasis.label.weights import WEIGHTS, AppBundle
from monai_vqoasis.settings import check_choice, chosen

__all__ = ["RetrainTask", "hold_out"]

logger = logging.getLogger(__name__)
IMAGES = ("healthy", "unlabelled", "both")
FEWEST_PEOPLE = 3  # one to train on, two for the calibration
STAGES = (
    # name, config, weights, option with its epochs, learning rate: a tenth of that of a training from nothing
    ("VQ-VAE", "train.json", "model.pt", "max_epochs", 2e-4),
    ("prior", "train_prior.json", "model_prior.pt", "prior_epochs", 1e-4),
)


class RetrainTask(TrainTask):
    """Goes on training both networks on healthy slices, makes the calibration anew, and puts the three in place.

    The bundle's ``train.json``, ``train_prior.json`` and ``calibrate.json`` run on a folder of slices, which is deleted
    afterwards. Images whose names are like the release's (case_001_slice_0) are of one person; any other is a person of
    its own. An image is healthy where its final label is empty, and is never trained on where that holds anything.

    Args:
        bundle: the app's bundle, whose weights are replaced when all is done; if anything fails they stay.
    """

    def __init__(self, bundle: AppBundle) -> None:
        super().__init__("Self-supervised training of VQ-VAE and prior on healthy images, and a new calibration")
        self.bundle = bundle

    def config(self) -> dict[str, object]:
        return {
            "images": list(IMAGES),
            "max_epochs": 5,
            "prior_epochs": 5,
            "val_split": 0.2,
            "seed": 0,
            "device": device_list(),
        }

    def stats(self) -> dict[str, object]:
        """Numbers of the last retraining."""
        path = self.bundle.weights_path("retraining.json")
        return json.loads(path.read_text()) if path.is_file() else {}

    def __call__(self, request: Mapping[str, object], datastore: Datastore) -> dict[str, object]:
        """Train.

        Returns:
            What :meth:`stats` will say: images chosen, people and slices used, best validation PSNR and nats per code.

        Raises:
            InputError: if an option is wrong, or the images are of fewer than three people, or of no two who can be
                compared.
        """
        options = {name: chosen(request.get(name, default)) for name, default in self.config().items()}
        for name in ("max_epochs", "prior_epochs"):
            options[name] = number(name, options[name], least=1)
        options["seed"] = number("seed", options["seed"])
        options["val_split"] = number("val_split", options["val_split"], float)
        images = self._select(datastore, check_choice("images", options["images"], IMAGES))
        work = self.bundle.root / "retraining"
        shutil.rmtree(work, ignore_errors=True)  # of one that was killed
        try:
            numbers = self._train(work, images, options)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        logger.info(f"new weights are in place: {numbers}")
        return numbers

    def _train(self, work: Path, images: Mapping[str, str], options: Mapping[str, object]) -> dict[str, object]:
        dataset_dir, models = work / "slices", work / "models"
        numbers = self._write_slices(images, dataset_dir, options)
        common = {"dataset_dir": str(dataset_dir), "ckpt_dir": str(models), "seed": options["seed"]}
        common["device"] = f"$torch.device('{name_to_device(options['device'])}')"
        for stage, (name, config, file, epochs, learning_rate) in enumerate(STAGES, 1):
            logger.info(f"{stage}/3 {name}, {options[epochs]} epochs on {numbers['slices']} slices")
            monai.bundle.run(
                "training",
                config_file=str(self.bundle.config_path(config)),
                pretrained_path=str(self.bundle.weights_path(file)),
                max_epochs=options[epochs],
                learning_rate=learning_rate,
                warmup_steps=0,
                output_dir=str(work / name),
                **common,
            )
            numbers |= _best(work / name / "metrics.csv")
        logger.info("3/3 calibration")
        monai.bundle.run(config_file=str(self.bundle.config_path("calibrate.json")), **common)
        for name in WEIGHTS:
            replace_file(self.bundle.weights_path(name), (models / name).read_bytes())
        replace_file(self.bundle.weights_path("retraining.json"), json.dumps(numbers, indent=4).encode())
        return numbers

    def _select(self, datastore: Datastore, choice: str) -> dict[str, str]:
        """Images to train on, and their files."""
        unlabelled = set(datastore.get_unlabeled_images())
        selected = {}
        for image_id in sorted(datastore.list_images()):
            wanted = "unlabelled" if image_id in unlabelled else "healthy"
            if choice in (wanted, "both") and (image_id in unlabelled or _is_empty(datastore, image_id)):
                selected[image_id] = datastore.get_image_uri(image_id)
        return selected

    def _write_slices(
        self, images: Mapping[str, str], dataset_dir: Path, options: Mapping[str, object]
    ) -> dict[str, object]:
        """Write the sections train and validate; how many images, people and slices."""
        parser = self.bundle.parse("inference.json", "cpu")
        read, calibration, network = (
            parser.get_parsed_content(name) for name in ("preprocessing", "calibration", "network")
        )
        people = {_person(image_id): "" for image_id in images}
        cases = {person: f"case_{index:03d}" for index, person in enumerate(people, 1)}
        items = [{"image": path, "case": cases[_person(image_id)]} for image_id, path in images.items()]
        files = write_located_slices(_readable(items, read), dataset_dir, "train", calibration, network)
        found = sorted({parse_slice_name(path)[0] for path in files})
        if len(found) < FEWEST_PEOPLE:
            raise InputError(
                f"retraining needs images of {FEWEST_PEOPLE} people at least, and {options['images']} images show "
                f"{len(found)}: confirm more as healthy by an empty final label, or choose other images."
            )
        positions: dict[str, set[int]] = {case: set() for case in found}
        for path in files:
            case, index = parse_slice_name(path)
            positions[case].add(index)
        held_out = hold_out(positions, options["val_split"], options["seed"])
        folder = section_dir(dataset_dir, "validate")
        folder.mkdir()
        moved = [path.rename(folder / path.name) for path in files if parse_slice_name(path)[0] in held_out]
        numbers = {"images": len(images), "people": len(found), "slices": len(files) - len(moved)}
        return {**numbers, "validation_slices": len(moved)}


def hold_out(positions: Mapping[str, set[int]], share: float, seed: int) -> set[str]:
    """Some of three people or more for validation and calibration, among them two who can be compared.

    Args:
        positions: slice positions of each person.
        share: of them to hold out; two at least, and not all.
        seed: of the choice.

    Raises:
        InputError: if no two have slices at positions within the calibration's reach of each other.
    """
    people = sorted(positions)
    random.Random(seed).shuffle(people)
    pairs = (
        pair
        for pair in itertools.combinations(people, 2)
        if any(abs(i - j) <= REACH for i, j in itertools.product(*(positions[person] for person in pair)))
    )
    pair = next(pairs, None)
    if pair is None:
        raise InputError(
            "retraining makes a new calibration, which compares people at the same part of the brain, and no two of "
            f"these have slices within {REACH} positions of each other: take more images, or whole volumes."
        )
    people.sort(key=lambda person: person not in pair)
    return set(people[: min(max(2, round(share * len(people))), len(people) - 1)])


def _is_empty(datastore: Datastore, image_id: str) -> bool:
    """Whether the final label of an image holds nothing."""
    path = datastore.get_label_uri(image_id, DefaultLabelTag.FINAL)
    try:
        return not itk.array_view_from_image(itk.imread(path)).any()
    except RuntimeError:
        logger.warning(f"left out: {image_id}, whose final label cannot be read")
        return False


def _person(image_id: str) -> str:
    try:
        return parse_slice_name(f"{image_id}.nii.png")[0]
    except InputError:
        return image_id


def _readable(items: Iterable[dict[str, str]], read: object) -> Iterator[dict[str, object]]:
    for item in items:
        try:
            yield read(item)
        except Exception as error:
            if (mine := find_user_error(error)) is None:
                raise
            logger.warning(f"left out: {mine}")


def _best(path: Path) -> dict[str, float]:
    """The best of what decides which network is kept."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    metrics = {"validate_psnr": max, "validate_nats_per_code": min}
    return {name: best(float(row[name]) for row in rows) for name, best in metrics.items() if name in rows[0]}
