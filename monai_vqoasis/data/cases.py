"""What is known of the people: a table beside the slices."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from monai_vqoasis.errors import InputError

__all__ = ["CDR_RATINGS", "cdr_index", "load_cdr"]

CDR_RATINGS = (0.0, 0.5, 1.0, 2.0, 3.0)
UNKNOWN = (None, "", "n/a")  # n/a as BIDS tables have it


def cdr_index(rating: float | str) -> int:
    """Place of a Clinical Dementia Rating among its grades 0, 0.5, 1, 2, 3 (Morris 1993): what a prior is given.

    Raises:
        InputError: if it is none of them.
    """
    try:
        return CDR_RATINGS.index(float(rating))
    except ValueError as error:
        grades = ", ".join(f"{grade:g}" for grade in CDR_RATINGS)
        raise InputError(f"CDR must be one of {grades}, got {rating!r}.") from error


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
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such table of cases.")
    ratings: dict[str, int] = {}
    with path.open(newline="") as file:
        table = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        missing = {"case", "cdr"} - set(table.fieldnames or ())
        if missing:
            raise InputError(f"{path}: has no column {min(missing)}; the table needs the columns case and cdr.")
        for row in table:
            if row["cdr"] not in UNKNOWN:
                try:
                    ratings[row["case"]] = cdr_index(row["cdr"])
                except InputError as error:
                    raise InputError(f"{path}, line {table.line_num}: {error}") from error
    return ratings
