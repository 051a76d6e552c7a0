"""Sections as one page of HTML."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from numbers import Integral, Real
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from jinja2 import Environment, StrictUndefined
from PIL import Image

from monai_vqoasis.errors import InputError
from monai_vqoasis.evaluation.section import Picture, Section, Table
from monai_vqoasis.metrics import Estimate

__all__ = ["format_column", "render_html"]

SIGNIFICANT = 4
INTERVAL_STEPS = 5
SIMILAR = 2
DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


class Cell(NamedTuple):
    """What a cell of a table says; ``number`` aligns it to the right."""

    text: str
    interval: str = ""
    number: bool = False


class Embedded(NamedTuple):
    """A picture inside the page: kind "pixels" or "plot", width and height in CSS pixels, source a data URL."""

    caption: str
    kind: str
    width: int
    height: int
    source: str


def render_html(title: str, description: Mapping[str, str], sections: Sequence[Section], files: Sequence[str]) -> str:
    """The report as a page that needs nothing beside it: no script, pictures inside, text escaped.

    Args:
        title: heading of the page.
        description: what was evaluated, terms and values.
        sections: in order.
        files: names of the files beside the page that hold its numbers.
    """
    template = resources.files("monai_vqoasis.evaluation").joinpath("report.html.j2").read_text(encoding="utf-8")
    laid_out = [
        {
            "name": section.name,
            "title": section.title,
            "warnings": list(section.warnings),
            "text": list(section.text),
            "tables": [_table(table) for table in section.tables],
            "pictures": [_embed(picture) for picture in section.pictures],
        }
        for section in sections
    ]
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(template).render(
        title=title, description=description, sections=laid_out, files=files
    )


def format_column(cells: Sequence[object]) -> list[Cell]:
    """The cells of one column, so that decimal points stand under one another where numbers are of similar size.

    Whole numbers are written in full, others with 4 significant digits, or with one more decimal than the ends of
    their interval, which have as many as its width deserves.
    """
    cells = [cell.item() if isinstance(cell, (np.generic, torch.Tensor)) else cell for cell in cells]
    decimals = [_decimals(cell) for cell in cells]
    known = [number for number in decimals if number is not None]
    if known and max(known) - min(known) <= SIMILAR:
        decimals = [max(known)] * len(cells)
    return [_cell(cell, number) for cell, number in zip(cells, decimals, strict=True)]


def _table(table: Table) -> dict[str, object]:
    for row in table.rows:
        if len(row) != len(table.header):
            raise InputError(f"table {table.caption!r}: a row has {len(row)} cells under {len(table.header)} headings.")
    columns = [format_column(column) for column in zip(*table.rows, strict=True)]
    numeric = [any(cell.number for cell in column) for column in columns] or [False] * len(table.header)
    columns = [[cell._replace(number=right) for cell in column] for column, right in zip(columns, numeric, strict=True)]
    return {
        "widths": [max([len(cell.interval) for cell in column], default=0) for column in columns],
        "caption": table.caption,
        "header": [Cell(text, number=right) for text, right in zip(table.header, numeric, strict=True)],
        "rows": list(zip(*columns, strict=True)),
    }


def _cell(value: object, decimals: int | None) -> Cell:
    if value is None:
        return Cell(DASH)
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, Integral):
        return Cell(f"{int(value):,}".replace("-", MINUS), number=True)
    if isinstance(value, Estimate):
        ends = _interval_decimals(value)
        interval = "" if ends is None else f"[{_number(value.low, ends)}, {_number(value.high, ends)}]"
        return Cell(_number(value.value, decimals or 0), interval, number=True)
    if isinstance(value, Real):
        return Cell(_number(value, decimals or 0), number=True)
    return Cell(str(value))


def _decimals(cell: object) -> int | None:
    """Decimals of a number; None for what has none, and for zero, which takes those of its column."""
    value = cell.value if isinstance(cell, Estimate) else cell
    if not isinstance(value, Real) or isinstance(value, Integral) or not math.isfinite(value) or value == 0:
        return None
    significant = max(0, SIGNIFICANT - 1 - math.floor(math.log10(abs(value))))
    ends = _interval_decimals(cell) if isinstance(cell, Estimate) else None
    return significant if ends is None else max(ends, min(ends + 1, significant))


def _interval_decimals(estimate: Estimate) -> int | None:
    """Decimals of an interval's ends, None for no interval: steps of at most a fifth of its width."""
    width = estimate.high - estimate.low
    if not math.isfinite(width):
        return None
    return max(0, math.ceil(-math.log10(width / INTERVAL_STEPS))) if width > 0 else SIGNIFICANT - 1


def _number(value: float, decimals: int) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:.{SIGNIFICANT - 1}e}" if decimals > 2 * SIGNIFICANT else f"{value:,.{decimals}f}"
    text = text.removeprefix("-") if not text.strip("-0.,") else text
    return text.replace("-", MINUS)


def _embed(picture: Picture) -> Embedded:
    content = picture.content
    if not isinstance(content, np.ndarray):
        # Fixed ids and no date: the same numbers give the same file.
        with mpl.rc_context({"svg.hashsalt": picture.caption}):
            buffer = io.BytesIO()
            content.savefig(buffer, format="svg", metadata={"Date": None})
        width, height = (round(float(inches) * 96) for inches in content.get_size_inches())
        return Embedded(picture.caption, "plot", width, height, _data_url("svg+xml", buffer.getvalue()))
    if content.dtype != np.uint8 or content.ndim not in (2, 3) or content.shape[2:] not in ((), (3,)):
        raise InputError(
            f"picture {picture.caption!r}: pixels must be uint8, H W or H W 3, "
            f"got {content.dtype} of shape {content.shape}."
        )
    buffer = io.BytesIO()
    Image.fromarray(content).save(buffer, format="PNG", optimize=True)
    height, width = content.shape[:2]
    return Embedded(picture.caption, "pixels", width, height, _data_url("png", buffer.getvalue()))


def _data_url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
