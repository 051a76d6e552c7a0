"""What raw OASIS-1 is: discs of ANALYZE volumes, archives of them, or any folder of NIfTI volumes."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tqdm import tqdm

from monai_vqoasis.data.cases import read_table
from monai_vqoasis.data.images import natural_key
from monai_vqoasis.errors import FULL, InputError

__all__ = ["Problem", "RawFolder", "RawVolume", "extract_volumes", "find_raw_volumes", "read_people"]

SESSION = re.compile(r"OAS1_(\d{4})(?:_MR(\d+))?")
T88 = re.compile(r"(OAS1_\d{4}_MR\d+)_mpr_n\w*_anon_111_t88_((?:masked_)?gfc(?:_fseg)?)\.(hdr|img)")
ARCHIVES = (".tar.gz", ".tgz", ".tar")
DAMAGED = (tarfile.TarError, EOFError, OSError, zlib.error)
COLUMNS = {"age": "Age", "sex": "M/F", "cdr": "CDR"}
LAYOUT = (
    "raw_dir must hold OASIS-1 (disc*/OAS1_XXXX_MR1/PROCESSED/MPRAGE/T88_111/*_t88_masked_gfc.hdr with its .img, "
    "or oasis_cross-sectional_disc*.tar.gz) or NIfTI volumes (.nii, .nii.gz)"
)


class RawVolume(NamedTuple):
    """One person's volume.

    Attributes:
        number: of the case; 1 is written as case_001.
        source: what the person is called in the raw folder.
        image: the file, ``.hdr`` for ANALYZE; a member's name where there is an ``archive``.
        segmentation: the file of the tissue classes, if there is one.
        archive: the archive that holds the files.
    """

    number: int
    source: str
    image: str
    segmentation: str | None = None
    archive: str | None = None


class Problem(NamedTuple):
    """A volume that cannot be used, and why, in one sentence."""

    file: str
    text: str
    case: str = "n/a"


@dataclass
class RawFolder:
    """What was found: one volume a person, what is unusable, how many repeat scans were left out, and the table."""

    volumes: list[RawVolume] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    repeats: int = 0
    tables: list[str] = field(default_factory=list)


def find_raw_volumes(
    raw_dir: str | os.PathLike[str], masked: bool = True, num_workers: int = 2, progress: bool = True
) -> RawFolder:
    """Look for people in a raw folder and in the archives in it.

    OASIS-1 as downloaded is recognised by its file names, wherever they lie; repeat scans (MR2) are left out, and
    where a person is there twice, unpacked files win over archives. Without such files every NIfTI volume is taken as
    one person: its number is that of OAS1_XXXX in its name, else the next free one, in natural order of the names.

    Args:
        raw_dir: folder, looked through with its subfolders, or one archive. Archives are read once for their names.
        masked: take OASIS-1's ``masked_gfc`` volumes, else ``gfc``, which show the whole head.
        num_workers: archives read at once.
        progress: show a progress bar over the archives.

    Raises:
        InputError: naming the folder, if it is missing or holds nothing of the kind.
    """
    root = Path(raw_dir)
    if not root.exists():
        raise InputError(f"{root}: no such folder; {LAYOUT}.")
    files = [str(root)] if root.is_file() else sorted(_walk(root))
    tables = [f for f in files if _is_table(Path(f).name)]
    found = RawFolder(tables=[f for f in tables if f.endswith(".csv")] or tables)
    members: dict[str | None, list[str]] = {None: files}
    archives = [f for f in files if f.lower().endswith(ARCHIVES)]
    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        listings = pool.map(_member_names, archives)
        for archive, (names, problem) in zip(
            archives,
            tqdm(
                listings, desc="names in archives", total=len(archives), disable=None if progress and archives else True
            ),
            strict=True,
        ):
            members[archive] = names
            found.problems += [problem] if problem else []
    _find_t88(members, "masked_gfc" if masked else "gfc", found)
    if not found.volumes and not found.problems:
        _find_nifti(root, [f for f in files if f.lower().endswith((".nii", ".nii.gz"))], found)
    if not found.volumes and not found.problems:
        raise InputError(f"{root}: holds no volumes; {LAYOUT}.")
    found.volumes.sort()
    return found


def read_people(tables: Iterable[str]) -> dict[int, dict[str, str]]:
    """Age, sex and CDR, as text, of the people in OASIS-1's ``oasis_cross-sectional.csv``; empty without a table.

    It may be the spreadsheet that oasis-brains.org gives (.xlsx), where openpyxl is installed.

    Raises:
        InputError: naming the table, and the column that it lacks.
        MissingPackageError: for a spreadsheet without openpyxl.
    """
    people: dict[int, dict[str, str]] = {}
    for table in tables:
        for _, row in read_table(table, ("ID", *COLUMNS.values()), "take the table from oasis-brains.org as it is"):
            session = SESSION.match(row["ID"] or "")
            if session and session[2] in (None, "1"):
                people[int(session[1])] = {
                    name: row[column].strip() for name, column in COLUMNS.items() if (row[column] or "").strip()
                }
    return people


def extract_volumes(volumes: Iterable[RawVolume], folder: Path, problems: list[Problem]) -> Iterator[RawVolume]:
    """The volumes as loose files: those in archives are written to ``folder`` one person at a time, as they come.

    Each archive is read once, front to back, as far as the last file that is wanted.

    Args:
        volumes: what :func:`find_raw_volumes` found.
        folder: each person's files go into a subfolder of it; whoever has read them removes it.
        problems: those that an archive does not give are added here.
    """
    archives: dict[str, list[RawVolume]] = {}
    for volume in volumes:
        if volume.archive is None:
            yield volume
        else:
            archives.setdefault(volume.archive, []).append(volume)
    for archive, wanted in archives.items():
        yield from _extract(archive, wanted, folder, problems)


def _extract(archive: str, volumes: list[RawVolume], folder: Path, problems: list[Problem]) -> Iterator[RawVolume]:
    waiting = {v: set(_pairs(v.image, v.segmentation)) for v in volumes}
    owner = {name: volume for volume, names in waiting.items() for name in names}
    reason = "is not in the archive any more"
    try:
        with tarfile.open(archive, "r|*") as stream:
            for member in stream:
                volume = owner.get(member.name)
                if volume is None or volume not in waiting:
                    continue
                target = folder / volume.source
                target.mkdir(parents=True, exist_ok=True)
                with (
                    stream.extractfile(member) as source,
                    (target / PurePosixPath(member.name).name).open("wb") as copy,
                ):
                    shutil.copyfileobj(source, copy)
                waiting[volume].discard(member.name)
                if not waiting[volume]:
                    del waiting[volume]
                    yield _moved(volume, target)
                if not waiting:
                    return
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise  # it is the copy that cannot be written
        reason = f"cannot be read from the archive ({error})"
    problems += [Problem(f"{archive}: {v.image}", reason, f"case_{v.number:03d}") for v in waiting]


def _moved(volume: RawVolume, folder: Path) -> RawVolume:
    image, segmentation = (
        name and str(folder / PurePosixPath(name).name) for name in (volume.image, volume.segmentation)
    )
    return volume._replace(image=image, segmentation=segmentation)


def _pairs(*headers: str | None) -> Iterator[str]:
    for header in headers:
        if header is not None:
            yield header
            yield f"{header.removesuffix('.hdr')}.img"


def _walk(root: Path) -> Iterator[str]:
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield from (str(Path(folder) / name) for name in names if not name.startswith("."))


def _is_table(name: str) -> bool:
    return name.startswith("oasis_cross-sectional") and name.endswith((".csv", ".xlsx")) and "reliability" not in name


def _member_names(archive: str) -> tuple[list[str], Problem | None]:
    names = []
    try:
        with tarfile.open(archive, "r|*") as stream:
            names += (member.name for member in stream if member.isfile())
    except DAMAGED as error:
        return names, Problem(archive, f"the archive is damaged or cut short ({error}); download it again")
    return names, None


def _find_t88(members: dict[str | None, list[str]], kind: str, found: RawFolder) -> None:
    """Sessions by name; ``members`` holds loose files first, under None, then those of each archive."""
    people: dict[int, RawVolume] = {}
    others: dict[int, str] = {}
    repeats = set()
    for archive, names in members.items():
        kinds: dict[str, dict[str, str]] = {}
        known = set(names)
        for name in sorted(names):
            match = T88.fullmatch(PurePosixPath(name).name if archive else Path(name).name)
            if match is None or match[3] != "hdr":
                continue
            session = SESSION.match(match[1])
            if session[2] != "1":
                repeats.add(match[1])
            elif not set(_pairs(name)) <= known:
                found.problems.append(Problem(name, "its .img file is missing", f"case_{int(session[1]):03d}"))
            else:
                kinds.setdefault(match[1], {})[match[2]] = name
        for session, files in kinds.items():
            number = int(SESSION.match(session)[1])
            others[number] = next(iter(files.values()))
            if kind in files:
                people.setdefault(
                    number, RawVolume(number, session, files[kind], files.get("masked_gfc_fseg"), archive)
                )
    found.volumes += people.values()
    found.repeats += len(repeats)
    for number in sorted(others.keys() - people.keys()):
        problem = f"there is no t88_{kind} volume of this person"
        found.problems.append(Problem(others[number], problem, f"case_{number:03d}"))


def _find_nifti(root: Path, files: list[str], found: RawFolder) -> None:
    named: dict[int, str] = {}
    unnamed = []
    for file in sorted(files, key=lambda f: [natural_key(part) for part in Path(f).parts]):
        session = SESSION.search(Path(file).name) or SESSION.search(file)
        if session is None:
            unnamed.append(file)
        elif session[2] not in (None, "1"):
            found.repeats += 1
        elif (number := int(session[1])) in named:
            problem = f"OAS1_{session[1]} is there already as {named[number]}; keep one volume a person"
            found.problems.append(Problem(file, problem, f"case_{number:03d}"))
        else:
            named[number] = file
    free = (n for n in range(1, len(files) + len(named) + 1) if n not in named)
    named |= dict(zip(free, unnamed, strict=False))
    found.volumes += [RawVolume(n, str(Path(f).relative_to(root) if root.is_dir() else f), f) for n, f in named.items()]
