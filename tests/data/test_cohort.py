from __future__ import annotations

import csv
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from monai_vqoasis.data import load_cdr, load_slice_datalist, write_oasis_cohort
from monai_vqoasis.data.cohort import assign_sections
from monai_vqoasis.data.raw_volume import read_volume
from monai_vqoasis.errors import InputError
from tests.raw import TABLE, head, t88_stem, write_person

SHORT = {"num_slices": 3, "z_range": (67, 97), "progress": False}


@pytest.fixture(scope="module")
def raw_dir(tmp_path_factory):
    """Three people and a damaged one, unpacked; the same in an archive beside it."""
    root = tmp_path_factory.mktemp("raw")
    for session, segmented in (("OAS1_0001_MR1", True), ("OAS1_0002_MR1", False), ("OAS1_0441_MR1", True)):
        write_person(root / "loose" / "disc1", session, int(session[5:9]), segmented=segmented)
    write_person(root / "loose" / "disc1", "OAS1_0005_MR1", 5, segmented=False)
    damaged = t88_stem(root / "loose" / "disc1", "OAS1_0005_MR1").with_suffix(".img")
    damaged.write_bytes(damaged.read_bytes()[:1000])
    (root / "packed").mkdir()
    with tarfile.open(root / "packed" / "oasis_cross-sectional_disc1.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(root / "loose" / "disc1", "disc1")
    for form in ("loose", "packed"):
        (root / form / "oasis_cross-sectional.csv").write_text(TABLE)
    return root


@pytest.fixture(scope="module")
def cohort(raw_dir, tmp_path_factory):
    return write_oasis_cohort(raw_dir / "loose", tmp_path_factory.mktemp("serial") / "out", num_workers=0, **SHORT)


def contents(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def table(path):
    return list(csv.DictReader(path.open(), delimiter="\t"))


def test_the_layout_names_and_pixels_are_the_releases(cohort):
    assert sorted(p.name for p in cohort.iterdir()) == [
        "failed.tsv", "keras_png_slices_seg_test", "keras_png_slices_seg_train", "keras_png_slices_test",
        "keras_png_slices_train", "participants.tsv", "prepared.json",
    ]  # fmt: skip
    items = load_slice_datalist(cohort, "train")
    assert [(i["case"], i["slice_index"]) for i in items] == [(f"case_00{n}", k) for n in (1, 2) for k in range(3)]
    assert [i["case"] for i in load_slice_datalist(cohort, "test")] == ["case_441"] * 3
    masks = {p.name for p in (cohort / "keras_png_slices_seg_train").iterdir()}
    assert masks == {f"seg_001_slice_{k}.nii.png" for k in range(3)}
    volume = head(1)
    white = np.percentile(volume[volume > 0], 99.9)
    for k, plane in enumerate((67, 82, 97)):
        image = np.asarray(Image.open(items[k]["image"]))
        assert image.shape == (256, 256)
        expected = np.clip(volume[..., plane] * (255 / white), 0, 255)
        assert np.abs(image[40:216, 24:232] - expected).max() <= 0.51
        mask = np.asarray(Image.open(cohort / "keras_png_slices_seg_train" / f"seg_001_slice_{k}.nii.png"))
        assert np.array_equal(mask[40:216, 24:232], np.ceil(volume[..., plane] / 1000) * 85)


def test_people_and_failures_are_in_tables(cohort):
    assert table(cohort / "participants.tsv") == [
        dict(zip(("case", "section", "age", "sex", "cdr", "source"), row, strict=True))
        for row in (
            ("case_001", "train", "74", "F", "0.5", "OAS1_0001_MR1"),
            ("case_002", "train", "28", "M", "n/a", "OAS1_0002_MR1"),
            ("case_441", "test", "n/a", "n/a", "n/a", "OAS1_0441_MR1"),
        )
    ]
    assert load_cdr(cohort / "participants.tsv") == {"case_001": 1}
    (failed,) = table(cohort / "failed.tsv")
    assert (failed["case"], failed["file"]) == ("case_005", "OAS1_0005_MR1")
    assert "cut short" in failed["text"]


def test_processes_and_archives_change_nothing(raw_dir, cohort, tmp_path):
    parallel = write_oasis_cohort(raw_dir / "packed", tmp_path / "out", num_workers=2, **SHORT)
    expected, found = contents(cohort), contents(parallel)
    assert b"case_005" in expected.pop("failed.tsv") and b"case_005" in found.pop("failed.tsv")
    assert found == expected


def test_an_archive_is_unpacked_one_person_at_a_time(raw_dir, tmp_path, monkeypatch):
    seen = []

    def look(path, **kwargs):
        seen.append([p.name for p in (tmp_path / "out" / ".unfinished" / "raw").iterdir()])
        return read_volume(path, **kwargs)

    monkeypatch.setattr("monai_vqoasis.data.cohort.read_volume", look)
    write_oasis_cohort(raw_dir / "packed", tmp_path / "out", num_workers=0, **SHORT)
    assert sorted({folder for folders in seen for folder in folders}) == [
        "OAS1_0001_MR1", "OAS1_0002_MR1", "OAS1_0005_MR1", "OAS1_0441_MR1",
    ]  # fmt: skip
    assert all(len(folders) == 1 for folders in seen)


def test_a_run_that_was_stopped_goes_on_and_leaves_nothing_half_done(raw_dir, cohort, tmp_path, monkeypatch):
    save, saved = Image.Image.save, []

    def stop(self, path, **kwargs):
        saved.append(path)
        if len(saved) == 8:
            path.write_bytes(b"half a picture")
            raise KeyboardInterrupt
        save(self, path, **kwargs)

    monkeypatch.setattr(Image.Image, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        write_oasis_cohort(raw_dir / "packed", tmp_path / "out", num_workers=0, **SHORT)
    monkeypatch.undo()
    expected = contents(cohort)
    part = {name: data for name, data in contents(tmp_path / "out").items() if name.startswith("keras")}
    assert len(part) in (3, 6)  # one person, with masks or without
    assert part.items() <= expected.items()
    (tmp_path / "out" / sorted(part)[0]).unlink()  # as if a person's move into place had been cut
    for _ in range(2):
        write_oasis_cohort(raw_dir / "loose", tmp_path / "out", num_workers=0, **SHORT)
        assert contents(tmp_path / "out") == expected


def test_people_that_are_there_are_not_written_again(raw_dir, cohort, tmp_path):
    shutil.copytree(cohort, tmp_path / "out")
    slices = sorted((tmp_path / "out").rglob("*.png"))
    before = [path.stat().st_mtime_ns for path in slices]
    shutil.copytree(raw_dir / "loose", tmp_path / "raw", symlinks=True)
    for session in ("OAS1_0001_MR1", "OAS1_0005_MR1"):  # a disc removed again, the damaged one downloaded anew
        shutil.rmtree(tmp_path / "raw" / "disc1" / session)
    write_person(tmp_path / "raw" / "disc1", "OAS1_0005_MR1", 5, segmented=False)
    write_oasis_cohort(tmp_path / "raw", tmp_path / "out", num_workers=0, **SHORT)
    assert [path.stat().st_mtime_ns for path in slices] == before
    cases = [row["case"] for row in table(tmp_path / "out" / "participants.tsv")]
    assert cases == ["case_001", "case_002", "case_005", "case_441"]
    assert not (tmp_path / "out" / "failed.tsv").exists()


def test_slices_of_two_kinds_are_not_mixed(raw_dir, cohort, dataset_dir, tmp_path):
    shutil.copytree(cohort, tmp_path / "out")
    before = contents(tmp_path / "out")
    for change in ({"z_range": (60, 90)}, {"white_percentile": 99}, {"masked": False}):
        with pytest.raises(InputError, match=f"were made with {next(iter(change))} .*; name another --dataset_dir"):
            write_oasis_cohort(raw_dir / "loose", tmp_path / "out", num_workers=0, **{**SHORT, **change})
    (tmp_path / "nifti").mkdir()
    (tmp_path / "nifti" / "a.nii").touch()
    with pytest.raises(InputError, match=r"case_001 has source OAS1_0001_MR1 there, now a\.nii"):
        write_oasis_cohort(tmp_path / "nifti", tmp_path / "out", num_workers=0, **SHORT)
    assert contents(tmp_path / "out") == before
    with pytest.raises(InputError, match="keras_png_slices_train: holds slices that were not made here"):
        write_oasis_cohort(raw_dir / "loose", dataset_dir, num_workers=0, **SHORT)


def test_nothing_but_failures_is_an_error(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.nii").write_text("text")
    with pytest.raises(InputError, match=r"none of its volumes could be used; .*failed.tsv says why"):
        write_oasis_cohort(tmp_path / "raw", tmp_path / "out", num_workers=0, **SHORT)
    assert table(tmp_path / "out" / "failed.tsv")[0]["file"] == "a.nii"


def test_sections_by_number_and_by_share():
    numbers = [1, 401, 402, 440, 441, 457, 458]
    assert list(assign_sections(numbers).values()) == [
        "train", "train", "validate", "validate", "test", "test", None,
    ]  # fmt: skip
    shares = {"train": 0.8, "validate": 0.1, "test": 0.1}
    drawn = assign_sections(range(1, 41), shares, seed=1)
    assert sorted(drawn) == list(range(1, 41))
    assert [list(drawn.values()).count(s) for s in shares] == [32, 4, 4]
    assert drawn == assign_sections(range(40, 0, -1), shares, seed=1) != assign_sections(range(1, 41), shares, seed=2)
    for sections, message in (
        ({"training": [1, 2]}, "must name some of train, validate, test"),
        ({"train": [1, 20], "test": [20, 30]}, "train and test share case 20"),
        ({"train": 0.8, "test": 0.1}, "add up to 1"),
        ({"train": [1, 20], "test": 0.1}, "all be shares"),
    ):
        with pytest.raises(InputError, match=message):
            assign_sections([1], sections)
