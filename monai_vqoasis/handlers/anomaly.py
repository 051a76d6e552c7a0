"""Anomaly maps as a table and a picture."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys as Keys

from monai_vqoasis.brain import brain_mask
from monai_vqoasis.files import replace_file
from monai_vqoasis.inferers import anomaly_score, to_slices
from monai_vqoasis.visualize import save_picture_grid

__all__ = ["AnomalyReport"]


class AnomalyReport:
    """Writes the score of every slice, and slices over their heat maps over their labels.

    Files: ``anomaly_scores.csv`` with the columns file, slice (of a volume; empty for a picture), anomaly_score (see
    :func:`monai_vqoasis.inferers.anomaly_score`) and anomalous_share of the brain; ``anomalies.png`` with the most
    abnormal slice of each of the first files.

    Args:
        output_dir: folder to write to.
        threshold: z above which a pixel is abnormal; white is twice that in the heat maps.
        num_slices: how many slices to show.
    """

    def __init__(self, output_dir: str | os.PathLike[str], threshold: float, num_slices: int = 8) -> None:
        self.output_dir = Path(output_dir)
        self.threshold = threshold
        self.num_slices = num_slices
        self._rows: list[dict[str, object]] = []
        self._shown: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._rows.clear()
        self._shown.clear()

    def _collect(self, engine: Engine) -> None:
        for image, z_map in zip(engine.state.output[Keys.IMAGE], engine.state.output[Keys.PRED], strict=True):
            file = Path(image.meta["filename_or_obj"]).name
            volume = image.ndim == 4
            slices, maps = (to_slices(v.unsqueeze(0)).cpu() for v in (image, z_map))
            brain = brain_mask(slices)
            scores = anomaly_score(maps, brain).tolist()
            shares = ((maps > self.threshold) & brain).flatten(1).sum(1) / brain.flatten(1).sum(1).clamp_min(1)
            for number, (score, share) in enumerate(zip(scores, shares.tolist(), strict=True)):
                row = {"file": file, "slice": number if volume else "", "anomaly_score": score}
                self._rows.append({**row, "anomalous_share": share})
            if len(self._shown) < self.num_slices:
                worst = scores.index(max(scores))
                heat = maps[worst, 0] / (2 * self.threshold)
                self._shown.append((slices[worst, 0], heat, (maps[worst, 0] > self.threshold).float()))

    def _write(self, engine: Engine) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._rows[0])
        writer.writeheader()
        writer.writerows(self._rows)
        replace_file(self.output_dir / "anomaly_scores.csv", text.getvalue().encode())
        save_picture_grid(list(zip(*self._shown, strict=True)), self.output_dir / "anomalies.png")
