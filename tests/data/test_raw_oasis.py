from __future__ import annotations

import csv
import tarfile
from pathlib import Path

import openpyxl
import pytest

from monai_vqoasis.data import find_raw_volumes
from monai_vqoasis.data.raw_oasis import extract_volumes, read_people
from monai_vqoasis.errors import InputError, MissingPackageError
from tests.raw import TABLE, t88_stem


def touch(folder, session, kind="masked_gfc", images="n4", suffixes=(".hdr", ".img")):
    stem = t88_stem(folder, session, kind, images)
    stem.parent.mkdir(parents=True, exist_ok=True)
    for suffix in suffixes:
        stem.with_suffix(suffix).write_bytes(f"{session} {kind} {suffix} {folder.name}".encode() * 500)


@pytest.fixture
def raw_dir(tmp_path):
    root = tmp_path / "raw"
    for session, images in (("OAS1_0001_MR1", "n4"), ("OAS1_0010_MR1", "n3"), ("OAS1_0010_MR2", "n5")):
        for kind in ("masked_gfc", "gfc", "masked_gfc_fseg"):
            touch(root / "disc1", session, kind, images)
    touch(root / "disc1", "OAS1_0002_MR1", suffixes=(".hdr",))
    touch(root / "disc2", "OAS1_0003_MR1", "gfc")
    for session in ("OAS1_0001_MR1", "OAS1_0050_MR1", "OAS1_0051_MR1"):
        touch(tmp_path / "disc3", session)
    touch(tmp_path / "disc3", "OAS1_0051_MR1", "masked_gfc_fseg")
    with tarfile.open(root / "oasis_cross-sectional_disc3.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "disc3", "disc3")
    return root


def test_one_volume_a_person_without_repeats(raw_dir):
    found = find_raw_volumes(raw_dir, progress=False)
    assert [v.source for v in found.volumes] == ["OAS1_0001_MR1", "OAS1_0010_MR1", "OAS1_0050_MR1", "OAS1_0051_MR1"]
    assert [v.number for v in found.volumes] == [1, 10, 50, 51]
    assert found.repeats == 1
    first, n3, packed, _ = found.volumes
    assert first.archive is None  # though it is in the archive too
    assert Path(n3.image) == t88_stem(raw_dir / "disc1", "OAS1_0010_MR1", images="n3").with_suffix(".hdr")
    assert n3.segmentation.endswith("_mpr_n3_anon_111_t88_masked_gfc_fseg.hdr")
    assert packed.archive.endswith("disc3.tar.gz") and packed.segmentation is None
    problems = {problem.case: problem.text for problem in found.problems}
    assert problems == {
        "case_002": "its .img file is missing", "case_003": "there is no t88_masked_gfc volume of this person",
    }  # fmt: skip


def test_with_skull_other_files_are_taken(raw_dir):
    found = find_raw_volumes(raw_dir, masked=False, progress=False)
    assert [v.number for v in found.volumes] == [1, 3, 10]
    assert all(v.image.endswith("_t88_gfc.hdr") for v in found.volumes)


def test_archives_give_their_people_one_at_a_time(raw_dir, tmp_path):
    volumes = find_raw_volumes(raw_dir, progress=False).volumes
    problems = []
    given = {v.number: v for v in extract_volumes(volumes, tmp_path / "unpacked", problems)}
    assert sorted(given) == [1, 10, 50, 51] and not problems
    assert given[1] == volumes[0]
    for number, kinds in ((50, ["masked_gfc"]), (51, ["masked_gfc", "masked_gfc_fseg"])):
        session = f"OAS1_{number:04d}_MR1"
        headers = [given[number].image, given[number].segmentation][: len(kinds)]
        for header, kind in zip(headers, kinds, strict=True):
            for suffix in (".hdr", ".img"):
                expected = t88_stem(tmp_path / "disc3", session, kind).with_suffix(suffix).read_bytes()
                assert Path(header).with_suffix(suffix).read_bytes() == expected


def test_what_stands_before_the_cut_of_an_archive_is_used(tmp_path):
    archive = tmp_path / "disc.tar"
    for number in (1, 2, 3):
        touch(tmp_path / "disc1", f"OAS1_000{number}_MR1")
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "disc1", "disc1", filter=lambda member: member)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size * 5 // 8])
    found = find_raw_volumes(archive, progress=False)
    problems = list(found.problems)
    assert problems[0].file == str(archive) and "download it again" in problems[0].text
    given = list(extract_volumes(found.volumes, tmp_path / "unpacked", problems))
    assert 1 in [v.number for v in given] and 3 not in [v.number for v in given]


def test_nifti_volumes_are_numbered_in_natural_order_or_by_their_names(tmp_path):
    names = ["b_10.nii", "b_2.nii.gz", "OAS1_0002_MR1_t1.nii", "OAS1_0002_x.nii", "OAS1_0007_MR2.nii", "c/a.nii.gz"]
    for name in [*names, "notes.txt", ".hidden.nii"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_raw_volumes(tmp_path, progress=False)
    assert [(v.number, v.source) for v in found.volumes] == [
        (1, "b_2.nii.gz"), (2, "OAS1_0002_MR1_t1.nii"), (3, "b_10.nii"), (4, "c/a.nii.gz"),
    ]  # fmt: skip
    assert found.repeats == 1
    (problem,) = found.problems
    assert problem.file.endswith("OAS1_0002_x.nii") and "keep one volume a person" in problem.text


def test_nothing_is_an_error_that_says_what_should_be_there(tmp_path):
    for folder, message in ((tmp_path / "nowhere", "nowhere: no such folder"), (tmp_path, "holds no volumes")):
        with pytest.raises(InputError, match=f"{message}; raw_dir must hold OASIS-1") as caught:
            find_raw_volumes(folder, progress=False)
        assert "\n" not in str(caught.value)


def test_the_table_gives_age_sex_and_rating_of_the_first_scan(tmp_path):
    table = tmp_path / "oasis_cross-sectional-5708aa0a98d82080.csv"
    table.write_text("\ufeff" + TABLE)
    (tmp_path / "a.nii").touch()
    (tmp_path / "oasis_cross-sectional-reliability.csv").write_text("nothing")
    tables = find_raw_volumes(tmp_path, progress=False).tables
    assert tables == [str(table)]
    assert read_people(tables) == {1: {"age": "74", "sex": "F", "cdr": "0.5"}, 2: {"age": "28", "sex": "M"}}
    table.write_text("ID,Age\n")
    with pytest.raises(InputError, match="has no column CDR"):
        read_people(tables)


def test_the_table_may_be_the_spreadsheet_that_the_site_gives(tmp_path, monkeypatch):
    sheet = tmp_path / "oasis_cross-sectional-5708aa0a98d82080.xlsx"
    book = openpyxl.Workbook()
    for row in csv.reader(TABLE.splitlines()):
        book.active.append([float(cell) if cell.replace(".", "").isdigit() else cell or None for cell in row])
    book.save(sheet)
    (tmp_path / "a.nii").touch()
    tables = find_raw_volumes(tmp_path, progress=False).tables
    assert tables == [str(sheet)]
    assert read_people(tables) == {1: {"age": "74", "sex": "F", "cdr": "0.5"}, 2: {"age": "28", "sex": "M"}}
    (tmp_path / "oasis_cross-sectional.csv").write_text(TABLE)
    assert find_raw_volumes(tmp_path, progress=False).tables == [str(tmp_path / "oasis_cross-sectional.csv")]
    sheet.write_bytes(sheet.read_bytes()[:-40])
    with pytest.raises(InputError, match=f"{sheet.name}: is no spreadsheet"):
        read_people(tables)
    monkeypatch.setattr("monai_vqoasis.errors.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="openpyxl"):
        read_people(tables)
