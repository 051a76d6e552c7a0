"""Raw volumes written as slices in the layout of the release."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from monai_vqoasis.data.cases import read_table
from monai_vqoasis.data.oasis import SECTIONS, section_dir, slice_name
from monai_vqoasis.data.raw_oasis import Problem, RawVolume, extract_volumes, find_raw_volumes, read_people
from monai_vqoasis.data.raw_volume import cut_slices, read_volume, slice_positions, to_grey, to_tissue
from monai_vqoasis.errors import InputError, find_user_error
from monai_vqoasis.files import replace_file

__all__ = ["RELEASE_SECTIONS", "assign_sections", "write_oasis_cohort"]

logger = logging.getLogger(__name__)

RELEASE_SECTIONS = {"train": (1, 401), "validate": (402, 440), "test": (441, 457)}
COLUMNS = ("case", "section", "age", "sex", "cdr", "source")
UNKNOWN = "n/a"


def write_oasis_cohort(
    raw_dir: str | os.PathLike[str],
    dataset_dir: str | os.PathLike[str],
    masked: bool = True,
    num_slices: int = 32,
    z_range: Sequence[int] = (67, 98),
    white_percentile: float = 99.9,
    sections: Mapping[str, Sequence[int] | float] = RELEASE_SECTIONS,
    seed: int = 0,
    num_workers: int = 2,
    progress: bool = True,
) -> Path:
    """Write the people of a raw folder as slices in the layout of the release, tissue masks and a table beside them.

    People that are there already are left as they are, so that a run that was stopped goes on where it was; no file
    is ever half written. Volumes that cannot be used are listed in ``failed.tsv`` and do not stop the others.
    ``participants.tsv`` has case, section, age, sex, CDR and source of those written, n/a where not known.

    OASIS-1: Marcus et al. 2007, "Open Access Series of Imaging Studies", doi:10.1162/jocn.2007.19.9.1498. What is
    written stays under the OASIS data use agreement (https://oasis-brains.org).

    Args:
        raw_dir: OASIS-1 as downloaded, or NIfTI volumes, see :func:`monai_vqoasis.data.find_raw_volumes`.
        dataset_dir: folder to write to, of this function's making only.
        masked: of OASIS-1, take the brain only or the whole head. NIfTI volumes are taken as they are.
        num_slices: axial slices a person.
        z_range: planes of the first and the last slice, of 176 at 1 mm. In OASIS-1's atlas plane 75 cuts the anterior
            commissure; by default slices lie from 8 mm below to 23 mm above it, midbrain to lateral ventricles.
        white_percentile: of the values above 0 in a volume, becomes white.
        sections: for each section the first and last case number, or its share of the people, drawn by ``seed``.
        seed: of the draw.
        num_workers: processes; 0 works in this one. The files are the same whichever number.
        progress: show progress bars.

    Returns:
        ``dataset_dir``.

    Raises:
        InputError: if a setting is wrong, the raw folder holds nothing, no volume in it could be used, or
            ``dataset_dir`` holds slices of other volumes or made with other settings.
    """
    positions = slice_positions(num_slices, z_range)
    if not 0 < white_percentile <= 100:
        raise InputError(f"white_percentile must be above 0 and at most 100, got {white_percentile}.")
    assign_sections([], sections, seed)  # wrong ones are told before archives are read
    found = find_raw_volumes(raw_dir, masked, num_workers, progress)
    section_of = assign_sections([volume.number for volume in found.volumes], sections, seed)
    problems = list(found.problems)
    problems += [
        Problem(v.source, "its case number is in no section", _case(v))
        for v in found.volumes
        if not section_of[v.number]
    ]
    volumes = [volume for volume in found.volumes if section_of[volume.number]]
    people = read_people(found.tables)
    rows = {_case(v): _row(v, section_of[v.number], people.get(v.number, {})) for v in volumes}

    root = Path(dataset_dir)
    settings = {
        "masked": masked, "num_slices": num_slices, "z_range": list(z_range), "white_percentile": white_percentile,
        "sections": {name: list(part) if isinstance(part, Sequence) else part for name, part in sections.items()},
        "seed": seed,
    }  # fmt: skip
    known = _check_dataset_dir(root, settings, rows)
    unfinished = root / ".unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    replace_file(root / "prepared.json", (json.dumps(settings, indent=4) + "\n").encode())
    _write_table(root / "participants.tsv", COLUMNS, {**known, **rows}.values())

    def there(volume: RawVolume) -> bool:
        return all(path.exists() for path in _files(root, volume, section_of[volume.number], num_slices))

    missing = [volume for volume in volumes if not there(volume)]
    writer = _Writer(root, unfinished, section_of, tuple(positions), white_percentile)
    loader = DataLoader(
        _Volumes(writer), batch_size=None, num_workers=num_workers,
        sampler=extract_volumes(missing, unfinished / "raw", problems),
    )  # fmt: skip
    done = len(volumes) - len(missing)
    try:
        with tqdm(
            total=len(volumes), initial=done, desc="volumes", unit="person", disable=None if progress else True
        ) as bar:
            for file, text, case in loader:
                bar.update()
                if text:
                    problems.append(Problem(file, text, case))
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)

    written = {_case(volume) for volume in volumes if there(volume)}
    kept = {case: row for case, row in {**known, **rows}.items() if case in written or case not in rows}
    _write_table(root / "participants.tsv", COLUMNS, kept.values())
    _report(root, problems, found.repeats, len(written), len(written) - done, num_slices)
    _warn(kept, bool(found.tables))
    if not written:
        raise InputError(f"{raw_dir}: none of its volumes could be used; {root / 'failed.tsv'} says why.")
    return root


def assign_sections(
    numbers: Sequence[int], sections: Mapping[str, Sequence[int] | float] = RELEASE_SECTIONS, seed: int = 0
) -> dict[int, str | None]:
    """Section of each case number, None where it is in none.

    Args:
        numbers: case numbers.
        sections: for each section the first and last case number, or for each its share of the people.
        seed: with shares, of the draw.

    Raises:
        InputError: if a section is not known, ranges overlap, or shares do not add up to 1.
    """
    if not isinstance(sections, Mapping):
        raise InputError(f"sections must be a dictionary of some of {', '.join(SECTIONS)}, got {sections!r}.")
    unknown = set(sections) - set(SECTIONS)
    if unknown or not sections:
        raise InputError(f"sections must name some of {', '.join(SECTIONS)}, got {', '.join(sections) or 'none'}.")
    if all(isinstance(part, (int, float)) for part in sections.values()):
        if min(sections.values()) < 0 or abs(sum(sections.values()) - 1) > 1e-6:
            raise InputError(f"sections must be shares that add up to 1, got {dict(sections)}.")
        order = np.random.default_rng(seed).permutation(sorted(numbers)).tolist()
        ends = np.rint(np.cumsum(list(sections.values())) * len(order)).astype(int).tolist()
        starts = [0, *ends[:-1]]
        return {n: name for name, start, end in zip(sections, starts, ends, strict=True) for n in order[start:end]}
    if not all(map(_is_range, sections.values())):
        raise InputError(f"sections must all be [first, last] case numbers or all be shares, got {dict(sections)}.")
    ranges = sorted((*part, name) for name, part in sections.items())
    for (_, last, name), (first, _, other) in pairwise(ranges):
        if first <= last:
            raise InputError(f"sections {name} and {other} share case {first}; a person must be in one section only.")
    return {n: next((name for first, last, name in ranges if first <= n <= last), None) for n in numbers}


def _is_range(part: object) -> bool:
    return (
        isinstance(part, Sequence)
        and len(part) == 2
        and all(isinstance(number, int) for number in part)
        and part[0] <= part[1]
    )


@dataclass
class _Writer:
    """Writes one person's slices, first beside the dataset and then, all there, into it."""

    root: Path
    unfinished: Path
    section_of: Mapping[int, str | None]
    positions: tuple[int, ...]
    white_percentile: float

    def __call__(self, volume: RawVolume) -> Problem:
        """A problem whose text is empty where all went well.

        Raises:
            StorageError: if the slices cannot be written.
        """
        try:
            pictures = self._pictures(volume)
        except InputError as error:
            text = " ".join(str(error).removeprefix(f"{volume.image}: ").split())
            return Problem(volume.source, text, _case(volume))
        finally:
            if self.unfinished in Path(volume.image).parents:  # unpacked for this call
                shutil.rmtree(Path(volume.image).parent)
        folder = self.unfinished / _case(volume)
        paths = list(_files(self.root, volume, self.section_of[volume.number], len(self.positions)))
        try:
            folder.mkdir()
            for path, picture in zip(paths, pictures, strict=True):
                Image.fromarray(picture).save(folder / path.name, format="PNG")
            for path in paths:
                path.parent.mkdir(exist_ok=True)
                (folder / path.name).replace(path)
            folder.rmdir()
        except OSError as error:  # of a worker, only the text would come back
            raise find_user_error(error) or error from error
        return Problem(volume.source, "", _case(volume))

    def _pictures(self, volume: RawVolume) -> list[np.ndarray]:
        image = read_volume(volume.image)
        pictures = [*to_grey(cut_slices(image, self.positions), image, self.white_percentile)]
        if volume.segmentation is not None:
            segmentation = read_volume(volume.segmentation, labels=True)
            try:
                pictures.extend(to_tissue(cut_slices(segmentation, self.positions)))
            except InputError as error:
                raise InputError(f"{Path(volume.segmentation).name}: {error}") from error
        return pictures


class _Volumes(Dataset):
    """What a loader's workers work on: the sampler hands out the volumes themselves."""

    def __init__(self, writer: _Writer) -> None:
        self.writer = writer

    def __getitem__(self, volume: RawVolume) -> Problem:
        return self.writer(volume)


def _case(volume: RawVolume) -> str:
    return f"case_{volume.number:03d}"


def _files(root: Path, volume: RawVolume, section: str, num_slices: int) -> Iterator[Path]:
    """The files of a person: slices, then masks where there is a segmentation, under the release's names."""
    folder = section_dir(root, section)
    yield from (folder / slice_name(_case(volume), k) for k in range(num_slices))
    if volume.segmentation is not None:
        masks = root / f"keras_png_slices_seg_{section}"
        yield from (masks / slice_name(f"seg_{volume.number:03d}", k) for k in range(num_slices))


def _row(volume: RawVolume, section: str, person: Mapping[str, str]) -> dict[str, str]:
    known = {name: person.get(name, UNKNOWN) for name in ("age", "sex", "cdr")}
    return {"case": _case(volume), "section": section, **known, "source": volume.source}


def _check_dataset_dir(root: Path, settings: Mapping[str, object], rows: Mapping[str, Mapping[str, str]]) -> dict:
    """Rows of the people written there before; what is new must go with them."""
    advice = "name another --dataset_dir or remove it."
    note = root / "prepared.json"
    if not note.exists():
        for section in SECTIONS:
            if section_dir(root, section).exists():
                raise InputError(f"{section_dir(root, section)}: holds slices that were not made here; {advice}")
        return {}
    try:
        before = dict(json.loads(note.read_text()))
    except (ValueError, TypeError) as error:
        raise InputError(f"{note}: is damaged, so how its slices were made is not known; {advice}") from error
    for name, value in settings.items():
        if before.get(name) != value:
            raise InputError(f"{root}: its slices were made with {name} {before.get(name)}, not {value}; {advice}")
    if not (table := root / "participants.tsv").exists():
        return {}
    known = {row["case"]: row for _, row in read_table(table, COLUMNS, advice.removesuffix("."))}
    for case in known.keys() & rows.keys():
        for column in ("source", "section"):
            if known[case][column] != rows[case][column]:
                raise InputError(
                    f"{root}: {case} has {column} {known[case][column]} there, now {rows[case][column]}; {advice}"
                )
    return known


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    lines = ["\t".join(columns)]
    lines += sorted("\t".join(" ".join(row[column].split()) for column in columns) for row in rows)
    replace_file(path, ("\n".join(lines) + "\n").encode())


def _report(root: Path, problems: Sequence[Problem], repeats: int, people: int, new: int, num_slices: int) -> None:
    logger.info(f"{people} people with {num_slices} slices each in {root}, {new} of them new")
    if repeats:
        logger.info(f"{repeats} repeat scans (MR2) left out")
    failed = root / "failed.tsv"
    failed.unlink(missing_ok=True)
    if problems:
        _write_table(failed, ("case", "file", "text"), [problem._asdict() for problem in problems])
        logger.warning(f"{len(problems)} could not be used, listed in {failed}:")
        for problem in problems:
            logger.warning(f"{problem.file}: {problem.text}")


def _warn(rows: Mapping[str, Mapping[str, str]], table: bool) -> None:
    empty = [s for s in SECTIONS if not any(row["section"] == s for row in rows.values())]
    if empty:
        logger.warning(
            f"no one in section {', '.join(empty)}: for shares of the people instead of case numbers give "
            "--sections \"{'train': 0.8, 'validate': 0.1, 'test': 0.1}\""
        )
    if not table:
        logger.warning("no oasis_cross-sectional.csv (or .xlsx) in raw_dir: age, sex and CDR are not known")
