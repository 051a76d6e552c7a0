"""Places, folders and tables with something wrong in them."""

from __future__ import annotations

import gzip
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bundle.bad_inputs.niftis import VOLUME, field, nifti
from tests.bundle.bad_inputs.pictures import GREY, declaring, encoded, flipped, ramp
from tests.bundle.bad_inputs.runs import SIZE, Case, Make, World, beside, whole_image, with_setting
from tests.conftest import CONFIGS


def places() -> Iterator[Case]:
    """What is no file, or not where it is said to be."""

    def pipe(world: World, folder: Path) -> dict[str, object]:
        (folder / "in").mkdir()
        os.mkfifo(folder / "in" / "pipe.png")
        return {"dataset_dir": folder / "in"}

    def inside(name: str, put: Callable[[Path], object]) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            (folder / "in").mkdir()
            put(folder / "in" / name)
            return {"dataset_dir": folder / "in"}

        return make

    def named(path: str) -> Make:
        return lambda world, folder: {"dataset_dir": path.format(folder)}

    def of_one_name(world: World, folder: Path) -> dict[str, object]:
        (folder / "in").mkdir()
        (folder / "in" / "a.png").write_bytes(GREY)
        (folder / "in" / "a.jpg").write_bytes(encoded(ramp().astype(np.uint8), "JPEG"))
        return {"dataset_dir": folder / "in"}

    for verb in ("reconstruct", "score"):
        yield Case(f"{verb}: no such folder", verb, named("{}/none"), ("none", "no such file or folder"))
        yield Case(f"{verb}: a pipe", verb, pipe, ("pipe.png", "is a pipe"))
        yield Case(f"{verb}: a folder called .png", verb, inside("d.png", Path.mkdir), ("d.png", "is a folder"))
    empty = inside("notes.txt", Path.touch)
    yield Case("reconstruct: an empty folder", "reconstruct", empty, ("in", "holds no images"))
    hidden = inside(".hidden.png", lambda path: path.write_bytes(GREY))
    yield Case("reconstruct: hidden files alone", "reconstruct", hidden, ("in", "holds no images"))
    gone = inside("gone.png", lambda path: path.symlink_to("nowhere"))
    yield Case("reconstruct: a link to nowhere", "reconstruct", gone, ("gone.png", "no such file"))
    loop = inside("loop.png", lambda path: path.symlink_to("loop.png"))
    yield Case("reconstruct: a link to itself", "reconstruct", loop, ("loop.png", "cannot be read"))
    in_file = named(f"{CONFIGS}/train.json/a.png")
    yield Case("reconstruct: a path in a file", "reconstruct", in_file, ("a.png", "no such"))
    yield Case("reconstruct: a name too long", "reconstruct", named("{}/" + "x" * 300), ("xxx", "too long"))
    yield Case("reconstruct: a null byte in the name", "reconstruct", named("{}/a\0b.png"), ("dataset_dir", "path"))
    yield Case("reconstruct: an empty name", "reconstruct", named(""), ("dataset_dir",))
    yield Case("reconstruct: two results of one name", "reconstruct", of_one_name, ("a.png", "a.jpg", "rename"))
    yield Case("reconstruct: a device", "reconstruct", named("/dev/zero"), ("/dev/zero",))
    for verb in ("train", "train_prior", "evaluate", "calibrate"):
        yield Case(f"{verb}: no such folder", verb, named("{}/none"), ("none", "no such folder"))
    yield Case("train: a name too long", "train", named("{}/" + "x" * 300), ("xxx", "too long"))
    yield Case("train: a null byte in the name", "train", named("{}/a\0b"), ("dataset_dir",))
    yield Case("train: a file", "train", named(f"{CONFIGS}/train.json"), ("train.json", "no such folder"))


def folders() -> Iterator[Case]:
    """A dataset with something wrong in it."""

    def spoilt(change: Callable[[Path], object], **more: object) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            shutil.copytree(world.slices, folder / "slices")
            change(folder / "slices")
            return {"dataset_dir": folder / "slices", **more}

        return make

    def put(section: str, name: str, content: bytes) -> Callable[[Path], object]:
        return lambda root: (root / f"keras_png_slices_{section}" / name).write_bytes(content)

    train, validate, test = (f"case_{n:03d}_slice_1.nii.png" for n in (1, 3, 4))
    spoils = {
        "half a slice": GREY[: len(GREY) // 2], "an empty slice": b"", "a slice of text": b"no slice\n",
        "a slice with a flipped bit": flipped(GREY, len(GREY) // 2),
        "a colour slice": encoded(np.full((*SIZE, 3), [9, 0, 0], np.uint8)),
        "a slice of another size": encoded(np.zeros((8, 8), np.uint8)), "a NIfTI slice": nifti(VOLUME[..., 0]),
        "a huge slice": declaring(50_000, 50_000),
    }  # fmt: skip
    for name, content in spoils.items():
        yield Case(f"train: {name} to train", "train", spoilt(put("train", train, content)), (train,))
        yield Case(f"train: {name} to validate", "train", spoilt(put("validate", validate, content)), (validate,))
        yield Case(f"train_prior: {name}", "train_prior", spoilt(put("train", train, content)), (train,))
        yield Case(f"evaluate: {name}", "evaluate", spoilt(put("test", test, content)), (test,))
        yield Case(f"calibrate: {name}", "calibrate", spoilt(put("validate", validate, content)), (validate,))
    half = put("train", train, GREY[: len(GREY) // 2])
    yield Case("train: half a slice for a worker", "train", spoilt(half, num_workers=1, cache_rate=0.0), (train, "cut"))

    def worker(world: World, folder: Path) -> dict[str, object]:
        (folder / "half.png").write_bytes(GREY[: len(GREY) // 2])
        return {"dataset_dir": folder / "half.png", "dataloader#num_workers": 1}

    yield Case("reconstruct: half a slice for a worker", "reconstruct", worker, ("half.png", "damaged or cut short"))
    wrong_names = ("slice_1.png", "case_x_slice_1.nii.png", "case_001_slice_1.nii.jpg", "case_001_slice_-1.nii.png",
                   "case_001_slice_1.5.nii.png", "Thumbs.db", "case_001_slice_1.nii (1).png")  # fmt: skip
    for name in wrong_names:
        yield Case(f"train: a file called {name}", "train", spoilt(put("train", name, GREY)), (name, "case_NNN"))
    twice = put("validate", "case_001_slice_0.nii.png", GREY)
    for verb in ("train", "train_prior", "evaluate", "calibrate"):
        yield Case(f"{verb}: a person in two sections", verb, spoilt(twice), ("case_001", "also in section"))
    for section in ("train", "validate"):
        gone = spoilt(lambda root, section=section: shutil.rmtree(root / f"keras_png_slices_{section}"))
        yield Case(f"train: no section {section}", "train", gone, (f"keras_png_slices_{section}", "no such folder"))

    def empty(root: Path) -> None:
        for file in (root / "keras_png_slices_train").iterdir():
            file.unlink()

    yield Case("train: an empty section", "train", spoilt(empty), ("keras_png_slices_train", "holds no slices"))
    folder_in_it = spoilt(lambda root: (root / "keras_png_slices_train" / "case_001_slice_7.nii.png").mkdir())
    yield Case("train: a folder called as a slice", "train", folder_in_it, ("case_001_slice_7.nii.png", "is a folder"))
    far = spoilt(put("train", "case_001_slice_90.nii.png", encoded(np.zeros(SIZE, np.uint8))))
    yield Case("train_prior: a slice position that the prior does not know", "train_prior", far, ("slice_index", "90"))
    one = spoilt(lambda root: [f.unlink() for f in (root / "keras_png_slices_validate").glob("case_005*")])
    yield Case("calibrate: one person alone", "calibrate", one, ("two people",))
    yield Case("calibrate: a slice position that the prior does not know", "calibrate", spoilt(
        put("validate", "case_003_slice_90.nii.png", GREY)), ("slice_index", "90"))  # fmt: skip

    def large(world: World, folder: Path) -> dict[str, object]:
        description, weights = whole_image(world, folder)
        return {"roi_size": [64, 64], "vqvae_def": description, "vqvae_path": weights}

    yield Case("train_prior: a crop larger than the slices", "train_prior", large, ("roi_size", "[2, 3]"))
    for section in ("nowhere", "", "Test"):
        for verb in ("evaluate", "calibrate"):
            wrong = with_setting("section", section)
            yield Case(f"{verb}: section {section!r}", verb, wrong, ("section must be one of", repr(section)))
    black = spoilt(lambda root: [
        f.write_bytes(encoded(np.zeros(SIZE, np.uint8))) for f in (root / "keras_png_slices_validate").iterdir()
    ])  # fmt: skip
    yield Case("calibrate: black slices alone", "calibrate", black, ("brain",))


def tables() -> Iterator[Case]:
    """Tables of cases."""
    contents = {
        "nothing": b"", "text": b"no table\n", "no rating": b"case,age\ncase_001,60\n", "no case": b"name,cdr\na,0\n",
        "a rating of 0.7": b"case,cdr\ncase_001,0.7\n", "a rating in words": b"case,cdr\ncase_001,mild\n",
        "a rating of NaN": b"case,cdr\ncase_001,nan\n", "a strange case": b"case,cdr\nOAS1_0001,0\n",
        "Latin-1": "case,cdr,name\ncase_001,0,José\n".encode("latin-1"), "noise": random.Random(2).randbytes(300),
        "null bytes": b"case,cdr\ncase_001,\0\n", "a field without end": b'case,cdr\n"' + b"x" * 200_000,
        "tabs": b"case\tcdr\ncase_001\t0\n",
    }  # fmt: skip
    for name, content in contents.items():

        def make(world: World, folder: Path, content: bytes = content) -> dict[str, object]:
            (folder / "cases.csv").write_bytes(content)
            return {"cases_path": folder / "cases.csv"}

        yield Case(f"train_prior: a table with {name}", "train_prior", make, ("cases.csv",))
    for verb in ("train_prior", "calibrate", "evaluate"):
        yield Case(f"{verb}: no table", verb, beside("cases_path", "no.csv"), ("no.csv", "no such"))
        yield Case(f"{verb}: a folder for a table", verb, beside("cases_path", ""), ("is a folder",))

    def sick(world: World, folder: Path) -> dict[str, object]:
        (folder / "cases.csv").write_text("case,cdr\ncase_003,1\ncase_005,2\n")
        return {"cases_path": folder / "cases.csv"}

    yield Case("calibrate: nobody healthy", "calibrate", sick, ("rating of 0",))


def raw_folders() -> Iterator[Case]:
    """What prepare_oasis cannot use."""

    def raw(files: dict[str, bytes], **more: object) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            for name, content in files.items():
                (folder / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / "raw" / name).write_bytes(content)
            return more

        return make

    none_used = ("raw", "none of its volumes could be used")
    plain = nifti(VOLUME)
    yield Case("prepare_oasis: no such folder", "prepare_oasis", raw({}), ("raw", "no such folder"))
    yield Case("prepare_oasis: no volumes", "prepare_oasis", raw({"a.txt": b"x"}), ("raw", "holds no volumes"))
    bad = {
        "half a volume": plain[:380], "an empty one": b"", "text": b"no volume", "a black one": nifti(VOLUME * 0),
        "no voxels": nifti(VOLUME, change=field("dim", 0, 2)), "NaN": nifti(VOLUME * np.float32(np.nan)),
        "huge sizes": nifti(VOLUME, change=lambda raw: raw["dim"].__setitem__(slice(1, 4), 30000)),
        "colour": nifti(np.zeros(VOLUME.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])),
    }  # fmt: skip
    for name, content in bad.items():
        yield Case(f"prepare_oasis: {name}", "prepare_oasis", raw({"a.nii": content}), none_used)
    table, disc = "oasis_cross-sectional.csv", "oasis_cross-sectional_disc1.tar.gz"
    flip = raw({"a.nii.gz": flipped(gzip.compress(plain), 60)})
    yield Case("prepare_oasis: a flipped bit", "prepare_oasis", flip, none_used)
    half = raw({disc: gzip.compress(bytes(4000))[:20]})
    yield Case("prepare_oasis: half an archive", "prepare_oasis", half, none_used)
    columns = raw({table: b"ID,Age\nOAS1_0001_MR1,70\n", "a.nii": plain})
    yield Case("prepare_oasis: a table without columns", "prepare_oasis", columns, (table, "column"))
    noise = raw({table: b"\xff\xfe\x00" * 40, "a.nii": plain})
    yield Case("prepare_oasis: noise for a table", "prepare_oasis", noise, (table,))

    def good_and_bad(world: World, out: Path) -> None:
        assert [path.name for path in out.glob("*.tsv")].count("failed.tsv") == 1
        assert "bad.nii" in (out / "failed.tsv").read_text()
        slices = sorted((out / "keras_png_slices_train").iterdir())
        assert len(slices) == 3
        assert any(np.asarray(Image.open(path)).any() for path in slices)

    both = raw({"good.nii": plain, "bad.nii": plain[:-1]}, num_slices=3, z_range=[86, 89])
    yield Case("prepare_oasis: a good and a bad volume", "prepare_oasis", both, None, good_and_bad)

    def there_before(name: str, content: str) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            (folder / "out").mkdir()
            (folder / "out" / name).write_text(content)
            return raw({"a.nii": plain})(world, folder)

        return make

    for name, content in (("half a note", '{"mas'), ("a list for a note", "[1]")):
        make = there_before("prepared.json", content)
        yield Case(f"prepare_oasis: {name} of what was prepared", "prepare_oasis", make, ("prepared.json",))

    def others(world: World, folder: Path) -> dict[str, object]:
        raw({"a.nii": plain})(world, folder)
        return {"dataset_dir": world.slices}

    yield Case("prepare_oasis: slices of others there", "prepare_oasis", others, ("slices_train", "not made here"))
    yield Case("prepare_demo: slices of others there", "prepare_demo", others, ("slices_train", "already there"))
