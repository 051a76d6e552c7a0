"""Bad input of every kind: what is wrong, and what a run with it must end in."""

from __future__ import annotations

import itertools

from tests.bundle.bad_inputs.folders import folders, places, raw_folders, tables
from tests.bundle.bad_inputs.niftis import niftis
from tests.bundle.bad_inputs.pictures import pictures
from tests.bundle.bad_inputs.runs import ABSENT, VERBS, Case, World, make_world
from tests.bundle.bad_inputs.settings import absent, bounds, kinds, more_kinds, outputs, unread
from tests.bundle.bad_inputs.weights import weights

__all__ = ["ABSENT", "VERBS", "Case", "World", "all_cases", "make_world"]


def all_cases() -> list[Case]:
    """The whole corpus, the same each time."""
    parts = (
        pictures(), niftis(), places(), folders(), tables(), raw_folders(), weights(), kinds(), more_kinds(), bounds(),
        absent(), unread(), outputs(),
    )  # fmt: skip
    return list(itertools.chain(*parts))
