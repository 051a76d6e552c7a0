"""Bad input of every kind ends in one line that names the file or key, or in a right result, and nothing by halves."""

from __future__ import annotations

import builtins
import errno
import io
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nibabel as nib
import pytest
import torch
from monai.bundle import ComponentLocator, ConfigWorkflow
from PIL import Image

from monai_vqoasis.errors import find_user_error
from tests.bundle.bad_inputs import ABSENT, VERBS, World, all_cases, make_world
from tests.conftest import CONFIGS

CASES = {case.name: case for case in all_cases()}
LOCATOR = ComponentLocator()  # searches all of MONAI, once
# one of each kind, as a command
COMMANDS = ["score: half a png, anomaly", "train: max_epochs 'many'", "calibrate: prior_path with half of it"]


def settings_of(world: World, folder: Path, verb: str, changes: dict[str, object]) -> dict[str, object]:
    config, base = VERBS[verb]
    settings = {"config_file": CONFIGS / config, **base(world, folder), **changes}
    files = settings.pop("config_file")
    settings = {key: value for key, value in settings.items() if value is not ABSENT}
    return {"config_file": list(map(str, files)) if isinstance(files, list) else str(files), **settings}


def run(world: World, folder: Path, verb: str, changes: dict[str, object]) -> None:
    """What ``python -m monai.bundle run`` does, in this process."""
    settings = settings_of(world, folder, verb, changes)
    workflow = ConfigWorkflow(
        meta_file=str(CONFIGS / "metadata.json"), logging_file=False, workflow_type=None, **settings
    )
    workflow.parser.locator = LOCATOR
    workflow.initialize()
    workflow.run()
    workflow.finalize()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    world = make_world(root)
    run(world, root, "calibrate", {"calibration_path": world.models / "calibration.pt"})
    return world


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch, tmp_path):
    """What a run changes in its process is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


def files(*roots: Path) -> dict[Path, tuple[int, int]]:
    """Every file, with what would tell that it was written again."""
    paths = [Path(folder) / name for root in roots for folder, _, names in os.walk(root) for name in names]
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in paths}


def check_whole(written: Path) -> None:
    """What a run has written can be read."""
    assert not written.name.startswith("."), written
    suffix = written.suffix.lower()
    if suffix in (".png", ".bmp"):
        with Image.open(written) as picture:
            picture.load()
    elif written.name.endswith((".nii", ".nii.gz")):
        nib.load(written).get_fdata()
    elif suffix == ".pt":
        torch.load(written, weights_only=True)
    else:
        assert suffix in (".csv", ".tsv", ".json") or "tfevents" in written.name, written
        assert written.stat().st_size > 0, written


def line_of(error: BaseException) -> str:
    """The line that the program ends with."""
    mine = find_user_error(error)
    assert mine is not None, "a traceback from the depths"
    assert len(str(mine).splitlines()) == 1
    return str(mine)


def names(line: str, words: tuple[str, ...]) -> bool:
    return all(any(word in line for word in alternatives.split("|")) for alternatives in words)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_ends_in_one_line_or_a_right_result(world, tmp_path, case):
    changes = case.make(world, tmp_path)
    given, worlds = files(tmp_path), files(world.slices, world.models)
    if case.error is None:
        run(world, tmp_path, case.verb, changes)
        case.check(world, tmp_path / "out")
    else:
        with pytest.raises(Exception) as caught:
            run(world, tmp_path, case.verb, changes)
        line = line_of(caught.value)
        assert names(line, case.error), line
    after = files(tmp_path)
    assert {path: after.get(path) for path in given} == given
    assert files(world.slices, world.models) == worlds
    for path in after.keys() - given.keys():
        check_whole(path)


@pytest.mark.parametrize("name", COMMANDS)
def test_as_a_command_it_ends_in_one_line_too(world, tmp_path, name):
    case = CASES[name]
    settings = settings_of(world, tmp_path, case.verb, case.make(world, tmp_path))
    options = [str(part) for key, value in settings.items() for part in (f"--{key}", value)]
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    assert names(lines[-1], case.error)
    assert "Traceback" not in result.stderr + result.stdout
    assert not (tmp_path / "out").exists()


def test_the_corpus_is_large_and_every_verb_meets_it():
    assert len(CASES) == len(all_cases()) >= 200
    of_verb = Counter(case.verb for case in CASES.values())
    assert of_verb.keys() == VERBS.keys()
    assert min(of_verb.values()) >= 15


def refuse(monkeypatch, number: int, hits) -> None:
    """Opening a file that ``hits`` fails; permissions themselves do not stop root, as whom tests may run."""
    real = io.open

    def refusing(file, *arguments, **options):
        if isinstance(file, (str, os.PathLike)) and hits(Path(file)):
            raise OSError(number, os.strerror(number), str(file))
        return real(file, *arguments, **options)

    monkeypatch.setattr(io, "open", refusing)
    monkeypatch.setattr(builtins, "open", refusing)


UNREADABLE = [
    ("reconstruct", "case_004_slice_1.nii.png"), ("score", "case_004_slice_1.nii.png"),
    ("train", "case_001_slice_1.nii.png"), ("train", "case_003_slice_1.nii.png"),
    ("evaluate", "case_004_slice_1.nii.png"), ("calibrate", "case_005_slice_0.nii.png"), ("reconstruct", "model.pt"),
    ("train_prior", "model.pt"), ("generate", "model_prior.pt"), ("score", "calibration.pt"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "name"), UNREADABLE)
def test_a_file_that_may_not_be_read_is_not_called_damaged(world, tmp_path, monkeypatch, verb, name):
    refuse(monkeypatch, errno.EACCES, lambda path: path.name == name)
    with pytest.raises(Exception) as caught:
        run(world, tmp_path, verb, {})
    assert names(line_of(caught.value), (name, "cannot be read (Permission denied)"))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("verb", ["train", "reconstruct", "score", "generate", "calibrate"])
def test_a_place_that_may_not_be_written_to_is_named(world, tmp_path, monkeypatch, verb, number):
    refuse(monkeypatch, number, lambda path: path.name.endswith(".partial"))
    with pytest.raises(Exception) as caught:
        run(world, tmp_path, verb, {})
    advice = "make room" if number in (errno.ENOSPC, errno.EDQUOT) else "name another place"
    assert names(line_of(caught.value), (str(tmp_path / "out"), "cannot be written", os.strerror(number), advice))
    assert all(path.is_dir() for path in (tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_cohort_that_cannot_be_written_leaves_nothing(world, tmp_path, monkeypatch, workers):
    changes = CASES["prepare_oasis: a good and a bad volume"].make(world, tmp_path)
    refuse(monkeypatch, errno.ENOSPC, lambda path: path.parent.parent.name == ".unfinished")
    with pytest.raises(Exception) as caught:
        run(world, tmp_path, "prepare_oasis", {**changes, "num_workers": workers})
    assert names(line_of(caught.value), ("case_", "No space left", "make room"))
    assert {path.name for path in (tmp_path / "out").rglob("*")} == {"participants.tsv", "prepared.json"}


def test_a_demo_cohort_that_cannot_be_written_leaves_nothing(world, tmp_path, monkeypatch):
    pytest.importorskip("nilearn")
    refuse(monkeypatch, errno.ENOSPC, lambda path: path.name == "case_001_slice_5.nii.png")
    with pytest.raises(Exception) as caught:
        run(world, tmp_path, "prepare_demo", {})
    assert names(line_of(caught.value), ("case_001_slice_5.nii.png", "No space left"))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("verb", ["train", "reconstruct", "score", "generate", "calibrate"])
def test_what_fails_while_it_is_written_leaves_nothing(world, tmp_path, monkeypatch, verb):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Exception) as caught:
        run(world, tmp_path, verb, {})
    assert names(line_of(caught.value), (str(tmp_path / "out"), "No space left"))
    assert all(path.is_dir() for path in (tmp_path / "out").rglob("*"))
