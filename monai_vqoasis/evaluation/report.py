"""One evaluation, three files: a page to read, numbers to compare, and every slice by itself."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from monai_vqoasis.errors import InputError
from monai_vqoasis.evaluation.render import render_html
from monai_vqoasis.evaluation.section import Section, SectionMaker
from monai_vqoasis.evaluation.slices import SliceSet
from monai_vqoasis.files import replace_file
from monai_vqoasis.metrics import Estimate

__all__ = ["Report", "ReportPaths"]

logger = logging.getLogger(__name__)

HTML, METRICS, PER_SLICE = "report.html", "metrics.json", "per_slice.csv"


class ReportPaths(NamedTuple):
    """Where the report is; ``per_slice`` is None where the report was given no slices."""

    html: Path
    metrics: Path
    per_slice: Path | None


class Report:
    """Makes sections and writes ``report.html``, ``metrics.json`` and ``per_slice.csv``.

    Args:
        sections: makers, called one after the other; what one raises ends the run, and nothing is written.
        output_dir: made if it is not there; a report that is there is replaced when all sections are made.
        title: heading of the page.
        description: what was evaluated, in terms and values: data folder, section, number of slices and people, file
            names of the weights, versions.
        slices: the evaluated slices, whose case and position name the rows of ``per_slice.csv``; None for no such file.
    """

    def __init__(
        self,
        sections: Sequence[SectionMaker],
        output_dir: str | os.PathLike[str],
        title: str = "Evaluation",
        description: Mapping[str, str] | None = None,
        slices: SliceSet | None = None,
    ) -> None:
        self.sections = sections
        self.output_dir = Path(output_dir)
        self.title = title
        self.description = dict(description or {})
        self.slices = slices

    def run(self) -> ReportPaths:
        """Make every section, then write the files.

        Raises:
            InputError: for two sections of one name, or columns of ``per_slice.csv`` that repeat a name or do not have
                one value a slice.
        """
        sections: list[Section] = []
        with tqdm(self.sections, unit="section", disable=None) as makers:
            for maker in makers:
                makers.set_description(f"evaluating: {_label(maker)}")
                began = time.perf_counter()
                sections.append(maker())
                logger.info(f"evaluated {_label(maker)} in {time.perf_counter() - began:.0f} s")
        _check_names(sections)
        texts = {METRICS: metrics_json(sections)}
        if self.slices is not None:
            texts[PER_SLICE] = per_slice_csv(self.slices, sections)
        elif any(section.per_slice for section in sections):
            raise InputError("sections have values for each slice, but the report was given no slices; give it slices.")
        texts[HTML] = render_html(self.title, self.description, sections, list(texts))
        paths = {name: self.output_dir / name for name in texts}
        for name, text in texts.items():
            replace_file(paths[name], text.encode())
        return ReportPaths(paths[HTML], paths[METRICS], paths.get(PER_SLICE))


def metrics_json(sections: Sequence[Section]) -> str:
    """The sections' metrics under their names; what is not finite becomes null, since JSON has no NaN."""
    metrics = {section.name: _plain(section.metrics, section.name) for section in sections}
    return json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def per_slice_csv(slices: SliceSet, sections: Sequence[Section]) -> str:
    """One row a slice: case, slice_index, then the sections' columns in order; NaN is left empty."""
    columns: dict[str, Sequence[object]] = {"case": slices.cases, "slice_index": slices.slice_indices}
    for section in sections:
        for name, values in section.per_slice.items():
            if name in columns:
                raise InputError(f"section {section.name!r}: column {name!r} of {PER_SLICE} is there already.")
            if len(values) != len(slices):
                raise InputError(
                    f"section {section.name!r}: column {name!r} of {PER_SLICE} has {len(values)} values "
                    f"for {len(slices)} slices."
                )
            columns[name] = [_csv_value(value) for value in values]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _label(maker: SectionMaker) -> str:
    name = getattr(maker, "__name__", type(maker).__name__)
    return name.removesuffix("Section").lower() or name


def _check_names(sections: Sequence[Section]) -> None:
    names = [section.name for section in sections]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two sections are named {name!r}; each needs a name of its own.")


def _plain(value: object, where: str) -> object:
    """What JSON can hold."""
    if isinstance(value, Estimate):
        return {key: _plain(getattr(value, key), where) for key in ("value", "low", "high")}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return _plain(value.tolist(), where)
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Sequence):
        return [_plain(item, where) for item in value]
    raise InputError(f"metric {where} is a {type(value).__name__}, which {METRICS} cannot hold.")


def _csv_value(value: object) -> object:
    value = value.item() if isinstance(value, (torch.Tensor, np.generic)) else value
    return "" if value is None or value != value else value
