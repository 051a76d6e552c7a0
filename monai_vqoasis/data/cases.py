"""What is known of the people: a table beside the slices."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path

from monai_vqoasis.errors import InputError, require
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
    """Line numbers and rows of a table with a header: .xlsx, tab-separated (.tsv) or else separated by commas.

    Raises:
        InputError: naming the file, and the first of ``columns`` that it lacks with ``advice``, or if it is no table.
        MissingPackageError: for .xlsx without openpyxl.
    """
    path = Path(path)
    try:
        text = _first_sheet(path) if path.suffix == ".xlsx" else path.open(newline="", encoding="utf-8-sig")
        with text as file:
            table = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            missing = set(columns) - set(table.fieldnames or ())
            if missing:
                raise InputError(f"{path}: has no column {min(missing)}; {advice}.")
            return [(table.line_num, row) for row in table]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is no table of text in UTF-8 ({error}).") from error


def _first_sheet(path: Path) -> io.StringIO:
    """The first sheet of a spreadsheet, separated by commas."""
    require("excel", "openpyxl")
    from openpyxl import load_workbook

    try:
        rows = list(load_workbook(path, data_only=True).worksheets[0].values)
    except OSError:
        raise
    except Exception as error:  # a damaged one ends in whatever zipfile, ElementTree or openpyxl come upon
        raise InputError(f"{path}: is no spreadsheet that can be read ({error}); save it again, or as .csv.") from error
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    text.seek(0)
    return text


def load_cdr(path: str | os.PathLike[str]) -> dict[str, int]:
    """Dementia rating of each case.

    Args:
        path: a table with a header, .csv, .tsv or .xlsx, with columns ``case`` ("case_001") and ``cdr``;
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
