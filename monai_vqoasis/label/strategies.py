"""Which image to look at next."""

from __future__ import annotations

from collections.abc import Mapping

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from monai_vqoasis.errors import InputError
from monai_vqoasis.label.scoring import ERROR, SCORE, WORST

__all__ = ["ByAnomaly"]


class ByAnomaly(Strategy):
    """The unlabelled image with the highest or lowest anomaly score; of several, the first by name.

    Those that cannot be read are passed over.

    Args:
        most: take the most abnormal one, or the most normal.
    """

    def __init__(self, most: bool) -> None:
        super().__init__(f"The unlabelled image with the {'highest' if most else 'lowest'} anomaly score")
        self.sign = -1 if most else 1

    def __call__(self, request: Mapping[str, object], datastore: Datastore) -> dict[str, object] | None:
        """Choose.

        Returns:
            ``id`` of the image, ``anomaly_score`` and ``worst_slice``; None where all that can be read are labelled.

        Raises:
            InputError: if no unlabelled image has a score.
        """
        datastore.refresh()
        notes = {image_id: datastore.get_image_info(image_id) for image_id in datastore.get_unlabeled_images()}
        notes = {image_id: note for image_id, note in notes.items() if not note.get(ERROR)}
        scores = {image_id: note[SCORE] for image_id, note in notes.items() if note.get(SCORE) is not None}
        if not notes:
            return None
        if not scores:
            raise InputError(f"none of the {len(notes)} unlabelled images has a score yet: run the scoring 'anomaly'.")
        image_id = min(scores, key=lambda key: (self.sign * scores[key], key))
        return {"id": image_id, SCORE: scores[image_id], WORST: notes[image_id][WORST]}
