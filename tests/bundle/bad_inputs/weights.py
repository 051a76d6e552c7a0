"""Weights and calibrations that cannot be, in each place where a verb reads some."""

from __future__ import annotations

import io
import itertools
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from monai_vqoasis.networks import VQVAE, GatedPixelCNN, PixelCNN, ResidualVQVAE
from tests.bundle.bad_inputs.pictures import GREY, flipped
from tests.bundle.bad_inputs.runs import SMALL, SMALL_PRIOR, Case, Make, World, beside, with_setting


class Harmful:
    """Unpickled, it would leave a file."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch harmed",)


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def changed(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[bytes], bytes]:
    """A state dict after ``change``."""

    def content(whole: bytes) -> bytes:
        state = torch.load(io.BytesIO(whole), weights_only=True)
        change(state)
        return saved(state)

    return content


def twice_as_large(state: dict[str, torch.Tensor]) -> None:
    for name, value in state.items():
        state[name] = value.repeat(2, *[1] * (value.ndim - 1)) if value.ndim else value


def not_a_number(state: dict[str, torch.Tensor]) -> None:
    next(value for value in state.values() if value.is_floating_point() and value.numel() > 1).view(-1)[0] = torch.nan


PLACES = {
    "model": [
        *((verb, "model_path") for verb in ("reconstruct", "score", "generate", "evaluate", "calibrate", "export")),
        ("train_prior", "vqvae_path"),
    ],
    "model_prior": [(verb, "prior_path") for verb in ("score", "generate", "evaluate", "calibrate", "export")],
    "calibration": [("score", "calibration_path")],
}
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda whole: b"",
    "text": lambda whole: b"no weights\n",
    "a tenth of it": lambda whole: whole[: len(whole) // 10],
    "half of it": lambda whole: whole[: len(whole) // 2],
    "all but a byte": lambda whole: whole[:-1],
    "a flipped bit": lambda whole: flipped(whole, len(whole) // 2),
    "a pickle": lambda whole: pickle.dumps({"model": [1, 2]}),
    "a pickle with code": lambda whole: pickle.dumps(Harmful()),
    "code in a checkpoint": lambda whole: saved({"model": Harmful()}),
    "a list": lambda whole: saved([torch.zeros(2)]),
    "numbers": lambda whole: saved({"weight": 3}),
    "another size": changed(twice_as_large),
    "one tensor less": changed(lambda state: state.popitem()),
    "one tensor more": changed(lambda state: state.update(extra=torch.zeros(1))),
    "NaN in it": changed(not_a_number),
    "a picture": lambda whole: GREY,
}
RESUMED: dict[str, Callable[[World], bytes]] = {
    "an empty file": lambda world: b"",
    "text": lambda world: b"no checkpoint",
    "the best weights": lambda world: (world.models / "model.pt").read_bytes(),
    "half a checkpoint": lambda world: saved({"model": {}, "optimizer": {}, "trainer": {}, "best": {}}),
    "a list": lambda world: saved([1, 2]),
}


def weights() -> Iterator[Case]:
    """Damaged files, others in their place, and files that do not belong together."""

    def bad(kind: str, damage: Callable[[bytes], bytes], key: str) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            (folder / "bad.pt").write_bytes(damage((world.models / f"{kind}.pt").read_bytes()))
            return {key: folder / "bad.pt"}

        return make

    def instead(key: str, other: str) -> Make:
        return lambda world, folder: {key: world.models / f"{other}.pt"}

    def resuming(content: Callable[[World], bytes]) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            (folder / "ckpt").mkdir()
            (folder / "ckpt" / "checkpoint.pt").write_bytes(content(world))
            return {"resume": True, "ckpt_dir": folder / "ckpt"}

        return make

    for kind, users in PLACES.items():
        # each damage meets a verb, in turn
        for (name, damage), (verb, key) in zip(DAMAGES.items(), itertools.cycle(users)):
            yield Case(f"{verb}: {key} with {name}", verb, bad(kind, damage, key), ("bad.pt",))
        for verb, key in users:
            if key != "prior_path" or verb not in ("evaluate", "calibrate"):  # which then do without
                yield Case(f"{verb}: no {key}", verb, beside(key, "gone.pt"), ("gone.pt",))
            yield Case(f"{verb}: a folder for {key}", verb, beside(key, ""), ("is a folder",))
            for other in [other for other in PLACES if other != kind]:
                yield Case(f"{verb}: {other} for {key}", verb, instead(key, other), (f"{other}.pt",))
    for name, content in RESUMED.items():
        yield Case(f"train: resuming from {name}", "train", resuming(content), ("checkpoint.pt",))
    resume = with_setting("resume", True)
    yield Case("train: resuming from nothing", "train", resume, ("checkpoint.pt", "no checkpoint"))
    yield from strangers()


def strangers() -> Iterator[Case]:
    """Files that are whole and do not belong to the others."""

    def with_file(key: str, content: Callable[[World], object], **more: object) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            torch.manual_seed(7)
            torch.save(content(world), folder / "other.pt")
            return {key: folder / "other.pt", **more}

        return make

    def model(world: World) -> object:
        return ResidualVQVAE(**SMALL).state_dict()

    def calibration(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[World], object]:
        def content(world: World) -> object:
            state = torch.load(world.models / "calibration.pt", weights_only=True)
            change(state)
            return state

        return content

    def wide(state: dict[str, torch.Tensor]) -> None:
        for name in ("template", "mean", "std"):
            state[name] = torch.cat([state[name]] * 2, dim=-1)

    architecture = ("other.pt", "another architecture")
    original = with_file("model_path", lambda world: VQVAE().state_dict())
    yield Case("reconstruct: weights of the original", "reconstruct", original, architecture)
    pixelcnn = with_file("prior_path", lambda world: PixelCNN(16, 8, 4, 1).state_dict())
    yield Case("generate: weights of another kind of prior", "generate", pixelcnn, architecture)
    whole = with_file("model_path", lambda world: ResidualVQVAE(**{**SMALL, "field_of_view": None}).state_dict())
    for verb in ("reconstruct", "generate", "evaluate", "calibrate", "export"):
        yield Case(f"{verb}: weights of another field of view", verb, whole, ("other.pt", "field_of_view None"))
    dilated = with_file("prior_path", lambda world: GatedPixelCNN(**{**SMALL_PRIOR, "dilations": [2]}).state_dict())
    yield Case("generate: a prior of other dilations", "generate", dilated, ("other.pt", "dilations [2]"))
    for verb in ("generate", "evaluate", "calibrate", "export"):
        make = with_file("model_path", model)
        yield Case(f"{verb}: a prior of another codebook", verb, make, ("the prior was trained on another codebook",))
    for method in ("residual", "surprise", "restoration"):
        make = with_file("model_path", model, method=method)
        yield Case(f"score: {method} with another model", "score", make, ("the calibration was made with another",))
    untrained = with_file("prior_path", lambda world: GatedPixelCNN(**SMALL_PRIOR).state_dict())
    for verb in ("generate", "score", "evaluate", "calibrate", "export"):
        yield Case(f"{verb}: a prior that was never trained", verb, untrained, ("prior", "never trained"))
    part = calibration(lambda state: state["thresholds"][1:].fill_(torch.nan))
    make = with_file("calibration_path", part, method="surprise")
    yield Case("score: a calibration of another method", "score", make, ("the calibration does not know surprise",))
    make = with_file("calibration_path", calibration(wide), method="residual")
    yield Case("score: a calibration of another grid", "score", make, ("calibration_path", "[2, 6]"))
