"""The app's own copy of the bundle."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from monai.bundle import ConfigParser

from monai_vqoasis.errors import InputError
from monai_vqoasis.files import replace_file

__all__ = ["WEIGHTS", "AppBundle"]

WEIGHTS = ("model_prior.pt", "calibration.pt", "model.pt")  # the last is the one whose change a server looks for


class AppBundle:
    """Configs, and weights that retraining may replace, in the folder of a MONAI Label app.

    Args:
        app_dir: the app's folder; the bundle is its ``model/vqoasis``.
    """

    def __init__(self, app_dir: str | os.PathLike[str]) -> None:
        self.root = Path(app_dir).resolve() / "model" / "vqoasis"

    def config_path(self, name: str) -> Path:
        return self.root / "configs" / name

    def weights_path(self, name: str) -> Path:
        return self.root / "models" / name

    def copy_from(self, bundle: str | os.PathLike[str]) -> None:
        """Take the configs of ``bundle``, and its weights unless there are some already.

        Raises:
            InputError: naming what ``bundle`` lacks.
        """
        source = Path(bundle)
        if not (source / "configs" / "inference.json").is_file():
            raise InputError(f"{source}: is no bundle of this project, it has no configs/inference.json.")
        begins = not all(self.weights_path(name).is_file() for name in WEIGHTS)
        missing = [name for name in WEIGHTS if not (source / "models" / name).is_file()]
        if begins and missing:
            raise InputError(f"{source / 'models'}: has no {' and no '.join(missing)}; train them first.")
        self.config_path("").mkdir(parents=True, exist_ok=True)
        for file in sorted((source / "configs").glob("*.*")):
            shutil.copyfile(file, self.config_path(file.name))
        for name in WEIGHTS if begins else ():
            replace_file(self.weights_path(name), (source / "models" / name).read_bytes())

    def parse(self, config: str, device: str, **settings: object) -> ConfigParser:
        """The config of that name with the bundle's folder, a device and ``settings`` filled in.

        Raises:
            InputError: if it is not there.
        """
        path = self.config_path(config)
        if not path.is_file():
            raise InputError(f"{path}: no such file; start the app with python -m monai_vqoasis.label.")
        parser = ConfigParser()
        parser.read_config(str(path))
        parser.update({"bundle_root": str(self.root), "device": device, **settings})
        return parser

    def fingerprint(self) -> str:
        """Of the weights in use.

        Raises:
            InputError: naming the file, if one is missing.
        """
        digest = hashlib.sha256()
        for name in WEIGHTS:
            if not self.weights_path(name).is_file():
                raise InputError(f"{self.weights_path(name)}: no trained weights there; restart the app.")
            digest.update(self.weights_path(name).read_bytes())
        return digest.hexdigest()
