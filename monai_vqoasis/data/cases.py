"""What is known of the people: a table beside the slices."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable
from pathlib import Path

from monai_vqoasis.errors import InputError
from monai_vqoasis.files import check_file

__all__ = ["CDR_RATINGS", "cdr_index", "load_cdr"]

CDR_RATINGS = (0.0, 0.5, 1.0, 2.0, 3.0)
CASE = re.compile(r"case_\d+")
UNKNOWN = (None, "", "n/a")  # n/a as BIDS tables have it


def cdr_index(rating: float | str) -> int:
    """Place of a Clinical Dementia Rating among its grades 0, 0.5, 1, 2, 3 (Morris 1993): what a prior is given.

    Raises:
        InputError: if it is none of them.
    """
    try:
        return CDR_RATINGS.index(float(rating))
    except (ValueError, TypeError) as error:
        grades = ", ".join(f"{grade:g}" for grade in CDR_RATINGS)
        raise InputError(f"CDR must be one of {grades}, got {rating!r}.") from error


def read_table(
    path: str | os.PathLike[str], columns: Iterable[str], advice: str
) -> list[tuple[int, dict[str, str | None]]]:
    """Line numbers and rows of a table with a header, tab-separated if it is called .tsv, else by commas.

    Raises:
        InputError: naming the file, and the first of ``columns`` that it lacks with ``advice``, or if it is no text.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            missing = set(columns) - set(table.fieldnames or ())
            if missing:
                raise InputError(f"{path}: has no column {min(missing)}; {advice}.")
            return [(table.line_num, row) for row in table]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is no table of text in UTF-8 ({error}).") from error


def load_cdr(path: str | os.PathLike[str]) -> dict[str, int]:
    """Dementia rating of each case.

    Args:
        path: a table with a header, comma- or (.tsv) tab-separated, with columns ``case`` ("case_001") and ``cdr``;
            other columns are not read, and a ``cdr`` that is empty or n/a is not known.

    Returns:
        :func:`cdr_index` of the cases whose rating is known.

    Raises:
        InputError: naming the file, and the line where one is at fault.
    """
    check_file(path, "no such table of cases.")
    ratings: dict[str, int] = {}
    for line, row in read_table(path, ("case", "cdr"), "the table needs the columns case and cdr"):
        case, rating = row["case"], row["cdr"]
        if not CASE.fullmatch(case or ""):
            raise InputError(f"{path}, line {line}: a case is called case_NNN, got {case!r}.")
        if rating not in UNKNOWN:
            try:
                ratings[case] = cdr_index(rating)
            except InputError as error:
                raise InputError(f"{path}, line {line}: {error}") from error
    return ratings
