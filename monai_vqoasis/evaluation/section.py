"""What a part of the report is: text, tables, figures and numbers, however they are laid out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure as Plot

from monai_vqoasis.metrics import Estimate

__all__ = ["Picture", "Section", "SectionMaker", "Table"]


@dataclass(frozen=True)
class Table:
    """Rows under a header. A cell is text, a number, an :class:`Estimate` (with its interval) or None (a dash)."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | float | Estimate | None]]


@dataclass(frozen=True)
class Picture:
    """Pixels (uint8, H W or H W 3) or a matplotlib figure, with its caption."""

    caption: str
    content: np.ndarray | Plot


@dataclass(frozen=True)
class Section:
    """One part of the report.

    Attributes:
        title: heading.
        text: paragraphs of plain text that say what was measured and how.
        warnings: what a reader must know before trusting the numbers, or why this section is empty.
        tables: shown in order.
        pictures: shown in order, after the tables.
        metrics: what goes to ``metrics.json`` under ``name``; nested dictionaries, numbers and estimates.
        per_slice: columns of ``per_slice.csv``, one value a slice of the evaluated section.
        name: key in ``metrics.json``, snake_case.
    """

    name: str
    title: str
    text: Sequence[str] = ()
    warnings: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    metrics: Mapping[str, object] = field(default_factory=dict)
    per_slice: Mapping[str, Sequence[float]] = field(default_factory=dict)


SectionMaker = Callable[[], Section]
"""Something that measures when it is called, with its own progress bars."""
