"""The app that MONAI Label serves."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import requests
import torch
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.exception import MONAILabelException

from monai_vqoasis import __version__
from monai_vqoasis.configuration import short_errors
from monai_vqoasis.errors import InputError, find_user_error
from monai_vqoasis.label.infers import GenerateTask, ViewTask
from monai_vqoasis.label.scoring import AnomalyScoring
from monai_vqoasis.label.strategies import ByAnomaly
from monai_vqoasis.label.training import RetrainTask
from monai_vqoasis.label.weights import AppBundle

__all__ = ["SliceApp"]

logger = logging.getLogger(__name__)

# of a name that ends in several the last counts: case_001_slice_0.nii.png is the image case_001_slice_0
EXTENSIONS = ("*.png", "*.nii.png", "*.jpg", "*.jpeg", "*.bmp", "*.nii", "*.nii.gz", "*.nrrd")
VIEWS = {
    "anomaly": ("anomaly", "What looks abnormal, as a label"),
    "heatmap": ("heatmap", "How abnormal each pixel is; 255 is twice the threshold of the label"),
    "reconstruct": ("reconstruction", "The image through the codes and back"),
}
NOT_FOUND, CANNOT_BE_DONE = 404, 422


class SliceDatastore(LocalDatastore):
    """A folder of slices and volumes; an image that it has not is the client's mistake."""

    def save_label(self, image_id: str, *args: object, **kwargs: object) -> str:
        self.check(image_id)
        return super().save_label(image_id, *args, **kwargs)

    def update_image_info(self, image_id: str, info: dict[str, object]) -> None:
        self.check(image_id)
        super().update_image_info(image_id, info)

    def check(self, image_id: str) -> None:
        """Raise HTTPException unless the image is there.

        What a background process noted since is read first, so that it is not overwritten.
        """
        self._init_from_datastore_file()
        if not self.get_image_uri(image_id):
            raise HTTPException(NOT_FOUND, f"there is no image {image_id!r} in the datastore.")


class SliceApp(MONAILabelApp):
    """Infer, score, choose and retrain on a folder of brain slices or volumes.

    Args:
        app_dir: folder that ``python -m monai_vqoasis.label`` made.
        studies: folder of images.
        conf: settings of the command line; none is read.
    """

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, str] | None = None) -> None:
        short_errors()
        self.bundle = AppBundle(app_dir)
        description = "Anomaly maps and new slices by a VQ-VAE and a prior over its codes. Research only."
        super().__init__(app_dir, studies, dict(conf or {}), "monai_vqoasis", description, __version__)

    def init_datastore(self) -> Datastore:
        if self.studies.startswith(("http://", "https://")):
            raise InputError(f"{self.studies}: studies must be a folder; this app reads no DICOMweb.")
        return SliceDatastore(
            self.studies,
            extensions=EXTENSIONS,
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def init_infers(self) -> dict[str, ViewTask | GenerateTask]:
        views = {name: ViewTask(self.bundle, self.conf, *about) for name, about in VIEWS.items()}
        return {**views, "generate": GenerateTask(self.bundle)}

    def init_trainers(self) -> dict[str, RetrainTask]:
        return {"retrain": RetrainTask(self.bundle)}

    def init_strategies(self) -> dict[str, ByAnomaly]:
        return {"most_anomalous": ByAnomaly(most=True), "most_normal": ByAnomaly(most=False)}

    def init_scoring_methods(self) -> dict[str, AnomalyScoring]:
        return {"anomaly": AnomalyScoring(self.bundle, self._infers["anomaly"])}

    def infer(self, request: dict[str, object], datastore: Datastore | None = None) -> dict[str, object]:
        image = request.get("image")
        if isinstance(image, str) and not (image and Path(image).exists()):
            self.datastore().check(image)
        with self._plain_errors():
            return super().infer(request, datastore)

    def batch_infer(self, request: dict[str, object], datastore: Datastore | None = None) -> dict[str, object]:
        """One bad file does not stop the rest; MONAI Label's own goes on from nothing, and on GPUs only."""

        def infer(one: dict[str, object], where: Datastore) -> dict[str, object]:
            try:
                return self.infer(one, where)
            except Exception as error:
                mine = find_user_error(error)
                if mine is None:
                    raise
                logger.warning(mine)
                return {"error": str(mine)}

        several = torch.cuda.is_available() and request.get("multi_gpu", True)
        return self._batch_infer({**request, "multi_gpu": several}, datastore or self.datastore(), infer)

    def train(self, request: dict[str, object]) -> dict[str, object]:
        with self._plain_errors():
            return super().train(request)

    def scoring(self, request: dict[str, object], datastore: Datastore | None = None) -> dict[str, object]:
        with self._plain_errors():
            return super().scoring(request, datastore)

    def next_sample(self, request: dict[str, object]) -> dict[str, object]:
        with self._plain_errors():
            return super().next_sample(request)

    def async_scoring(self, method: str | None, params: object = None) -> dict[str, object]:
        """Start a scoring in the background, unless nothing waits for one."""
        if not any(task.waiting(self.datastore()) for task in self._scoring_methods.values()):
            return {}
        try:
            return super().async_scoring(method, params)
        except requests.RequestException as error:  # a training asks the server, which may listen elsewhere
            logger.warning(f"no scoring was started: {error}")
            return {}

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """Answer what the user can mend with its sentence; in a background process, end with it."""
        try:
            yield
        except HTTPException:
            raise
        except Exception as error:
            unknown = isinstance(error, MONAILabelException)
            mine = InputError(error.msg) if unknown else find_user_error(error)
            if mine is None:
                raise
            if not self._server_mode:
                raise mine from None
            raise HTTPException(NOT_FOUND if unknown else CANNOT_BE_DONE, str(mine)) from error
