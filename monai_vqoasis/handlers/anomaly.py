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

from monai_vqoasis.files import replace_file
from monai_vqoasis.handlers.pictures import is_among
from monai_vqoasis.slices import to_slices
from monai_vqoasis.transforms import AnomalyScore
from monai_vqoasis.visualize import save_picture_grid

__all__ = ["AnomalyReport"]


class AnomalyReport:
    """Writes the score of every slice, and slices over their heat maps over their labels.

    Files: ``anomaly_scores.csv`` with the columns file, slice (of a volume: axial, 0 the lowest in the head, however
    the file stores them; empty for a picture), anomaly_score (see
    :func:`monai_vqoasis.transforms.anomaly_score`) and anomalous_share of the brain; ``anomalies.png`` with the most
    abnormal slice of files spread evenly over all.

    Args:
        output_dir: folder to write to.
        threshold: z from which a pixel is abnormal; white is twice that in the heat maps.
        num_slices: how many slices to show.
    """

    def __init__(self, output_dir: str | os.PathLike[str], threshold: float, num_slices: int = 8) -> None:
        self.output_dir = Path(output_dir)
        self.threshold = threshold
        self.score = AnomalyScore(threshold)
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
            result = self.score(z_map, image)
            scores = result["slice_scores"]
            for number, (score, share) in enumerate(zip(scores, result["slice_shares"], strict=True)):
                row = {"file": file, "slice": number if image.ndim == 4 else "", "anomaly_score": score}
                self._rows.append({**row, "anomalous_share": share})
            if len(self._shown) < self.num_slices and is_among(engine, self.num_slices):
                worst = scores.index(max(scores))
                slices, maps = (to_slices(v.unsqueeze(0))[worst, 0].cpu() for v in (image, z_map))
                self._shown.append((slices, maps / (2 * self.threshold), (maps >= self.threshold).float()))

    def _write(self, engine: Engine) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._rows[0])
        writer.writeheader()
        writer.writerows(self._rows)
        replace_file(self.output_dir / "anomaly_scores.csv", text.getvalue().encode())
        save_picture_grid(list(zip(*self._shown, strict=True)), self.output_dir / "anomalies.png")
