"""How abnormal each image of the datastore is."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod

from monai_vqoasis.errors import find_user_error
from monai_vqoasis.label.infers import ViewTask
from monai_vqoasis.label.weights import AppBundle

__all__ = ["ERROR", "SCORE", "AnomalyScoring"]

logger = logging.getLogger(__name__)
SCORE, SLICES, WORST, ERROR, MADE_WITH = (
    "anomaly_score", "slice_scores", "worst_slice", "anomaly_error", "anomaly_made_with",
)  # fmt: skip


class AnomalyScoring(ScoringMethod):
    """Notes in the datastore what the infer task ``anomaly`` says of each image, with its default options.

    An image's notes are ``anomaly_score`` (of its most abnormal slice), ``slice_scores`` and ``worst_slice``
    (axial slices, the lowest in the head first, however the file stores them), or
    ``anomaly_error`` where it cannot be read. They are made again when the file or the weights are others.

    Args:
        bundle: the app's bundle.
        task: the infer task.
    """

    def __init__(self, bundle: AppBundle, task: ViewTask) -> None:
        super().__init__("How abnormal the most abnormal slice of each image is (z that 1 % of its brain exceeds)")
        self.bundle = bundle
        self.task = task

    def waiting(self, datastore: Datastore) -> dict[str, str]:
        """Images without a score of the weights in use, and what their score would be of.

        Raises:
            InputError: if weights are missing.
        """
        weights = self.bundle.fingerprint()[:16]
        now = {}
        for image_id in sorted(datastore.list_images()):
            state = Path(datastore.get_image_uri(image_id)).stat()
            now[image_id] = f"{weights}-{state.st_size}-{state.st_mtime_ns}"
        return {key: made for key, made in now.items() if datastore.get_image_info(key).get(MADE_WITH) != made}

    def __call__(self, request: Mapping[str, object], datastore: Datastore) -> dict[str, object]:
        """Score the images that wait.

        Returns:
            How many are ``scored`` now, and the ``failed`` ones with what is wrong with them.
        """
        waiting = self.waiting(datastore)
        failed = {}
        for number, (image_id, made_with) in enumerate(waiting.items(), 1):
            notes = self._score(datastore.get_image_uri(image_id), request)
            if notes[ERROR]:
                failed[image_id] = notes[ERROR]
            datastore.refresh()  # it may be gone
            if image_id in datastore.list_images():
                datastore.update_image_info(image_id, {**notes, MADE_WITH: made_with})
            logger.info(f"{number}/{len(waiting)} {image_id}: {notes[ERROR] or format(notes[SCORE], '.2f')}")
        return {"scored": len(waiting) - len(failed), "failed": failed}

    def _score(self, path: str, request: Mapping[str, object]) -> dict[str, object]:
        question = {"image": path, "skip_writer": True, "logging": "WARNING"}
        if request.get("device"):
            question["device"] = request["device"]
        try:
            result = self.task(question)[1]["result"]
        except Exception as error:  # one bad file is not to stop the rest
            if find_user_error(error) is None:
                logger.exception(path)
            return {SCORE: None, SLICES: [], WORST: None, ERROR: str(find_user_error(error) or repr(error))}
        slices = result[SLICES]
        return {SCORE: result[SCORE], SLICES: slices, WORST: slices.index(max(slices)), ERROR: None}
