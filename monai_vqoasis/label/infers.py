"""What the app answers for an image: a label, a heat map, a reconstruction, a new slice."""

from __future__ import annotations

import copy
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import torch
from monai.data import MetaTensor
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.transform.writer import Writer
from monailabel.utils.others.generic import device_list, name_to_device

from monai_vqoasis.brain import brain_mask
from monai_vqoasis.data import CDR_RATINGS
from monai_vqoasis.errors import InputError
from monai_vqoasis.inferers import bits_per_code
from monai_vqoasis.label.options import number
from monai_vqoasis.label.weights import AppBundle
from monai_vqoasis.networks import VectorQuantizedAutoencoder, load_weights
from monai_vqoasis.nifti import NIFTI_SUFFIXES
from monai_vqoasis.settings import chosen
from monai_vqoasis.slices import to_slices
from monai_vqoasis.transforms import SaveSlice

__all__ = ["GenerateTask", "ViewTask"]

UNKNOWN = "unknown"
LOSSY = (".jpg", ".jpeg")


class ViewTask(BundleInferTask):
    """The bundle's inference with one of its views: what it computes is what the bundle's config says.

    Args:
        bundle: the app's bundle.
        conf: the app's settings.
        view: "anomaly", "heatmap" or "reconstruction".
        description: one sentence.

    Raises:
        InputError: if the weights are missing.
    """

    def __init__(self, bundle: AppBundle, conf: Mapping[str, str], view: str, description: str) -> None:
        bundle.fingerprint()
        label = view == "anomaly"
        kind = InferType.SEGMENTATION if label else InferType.OTHERS
        super().__init__(str(bundle.root), dict(conf), type=kind, add_post_restore=False)
        self.view = view
        self.description = description
        self._one_at_a_time = threading.Lock()
        self.labels = self.labels if label else {}
        # other weights would not fit prior and calibration
        for option in ("model_filename", "view"):
            self._config.pop(option, None)
        if view == "reconstruction":
            for option in ("method", "threshold"):
                self._config.pop(option, None)

    def __call__(self, request: dict[str, object], callbacks: Mapping[object, object] | None = None) -> tuple:
        with self._one_at_a_time:  # the bundle's config is parsed anew for each request, which all threads share
            return super().__call__(request, callbacks)

    def pre_transforms(self, data: dict[str, object]) -> object:
        data.update({**self.displayable_configs, **data, "view": self.view})
        data["threshold"] = number("threshold", data["threshold"], float)
        return super().pre_transforms(data)

    def _get_network(self, device: str, data: object) -> VectorQuantizedAutoencoder:
        """The network with the weights that are there now, or none: the base class would go on with random ones."""
        path = Path(self.path[0])
        written = path.stat().st_mtime_ns if path.is_file() else None
        if self._networks.get(device, (None, None))[1] != written or written is None:
            network = load_weights(copy.deepcopy(self.network), path)
            self._networks[device] = (network.to(torch.device(device)), written)
        return self._networks[device][0]

    def writer(self, data: dict[str, object], extension: str | None = None, dtype: str | None = None) -> tuple:
        """In the format that the client asks for, or in that of the image: a NIfTI file to the header, not JPEG."""
        asked = {"result_extension": extension, "result_dtype": dtype} | data
        asked["result_dtype"] = asked["result_dtype"] or "uint8"
        source = Path(data["image_path"])
        if not asked["result_extension"] and source.name.lower().endswith(NIFTI_SUFFIXES):
            return _save_like(data[self.output_label_key], source), data.get(self.output_json_key, {})
        if not asked["result_extension"] and source.suffix.lower() in LOSSY:
            asked["result_extension"] = ".png"
        return Writer(label=self.output_label_key, json=self.output_json_key)(asked)


class GenerateTask(InferTask):
    """Draws a slice that nobody has, at the position of the image that is looked at, or another.

    Args:
        bundle: the app's bundle.
    """

    def __init__(self, bundle: AppBundle) -> None:
        options = {
            "slice_index": "",
            "cdr": [UNKNOWN, *(f"{rating:g}" for rating in CDR_RATINGS)],
            "seed": 0,
            "temperature": 1.0,
            "device": device_list(),
        }
        description = "A new slice at the position of this one (or slice_index), of a person with a dementia rating."
        super().__init__(InferType.OTHERS, {}, 2, description, options)
        self.bundle = bundle

    def is_valid(self) -> bool:
        return True

    def get_path(self, validate: bool = True) -> str:
        return str(self.bundle.weights_path("model_prior.pt"))

    def __call__(self, request: Mapping[str, object]) -> tuple[str, dict[str, object]]:
        """Draw one.

        Raises:
            InputError: naming the option that is wrong, or the file if no position can be told from it.
        """
        options = {name: chosen(value) for name, value in {**self.config(), **request}.items()}
        device = name_to_device(options["device"])
        cdr = None if options["cdr"] in (UNKNOWN, "", None) else number("cdr", options["cdr"], float)
        index = options["slice_index"]
        index = self._position(str(request["image"]), device) if index in ("", None) else number("slice_index", index)
        temperature = number("temperature", options["temperature"], float)
        if not temperature > 0:
            raise InputError(f"temperature must be positive, got {temperature}.")
        settings = {"slice_index": index, "cdr": cdr, "temperature": temperature, "num_samples": 1}
        settings["seed"] = number("seed", options["seed"])
        generator = self.bundle.parse("generate.json", device, **settings).get_parsed_content("generator")
        codes = next(generator.codes())
        conditions = {name: torch.tensor(value, device=device) for name, value in generator.conditions.items()}
        bits = float(bits_per_code(generator.prior, codes, conditions=conditions).sum())
        pixels = (generator.decode(codes)[0][0] * 255).round().byte().numpy()
        asked = {"result_extension": options.get("result_extension") or ".png", "result_dtype": "uint8"}
        # ITK wants columns first
        path, _ = Writer(label="pred")({**options, **asked, "pred": pixels.T})
        return path, {"seed": settings["seed"], "slice_index": index, "cdr": cdr, "bits": bits, "label_names": {}}

    def _position(self, path: str, device: str) -> int:
        """Slice index of a slice, or of the middle of a volume."""
        parser = self.bundle.parse("inference.json", device)
        image = parser.get_parsed_content("preprocessing")({"image": path})["image"]
        slices = to_slices(torch.as_tensor(image).unsqueeze(0))
        middle = slices[len(slices) // 2].unsqueeze(0).to(device)
        if not brain_mask(middle).any():
            raise InputError(f"{path}: no brain is to be seen; name a slice_index.")
        calibration, network = (parser.get_parsed_content(name) for name in ("calibration", "network"))
        return int(calibration.locate(middle, network))


def _save_like(image: MetaTensor, source: Path) -> str:
    """Write a label or 8-bit image (H W D) as a temporary file, which the server sends and deletes."""
    with tempfile.TemporaryDirectory() as folder:
        written = SaveSlice(folder, label=True)(image.unsqueeze(0), source)
        with tempfile.NamedTemporaryFile(suffix="".join(written.suffixes[-2:]), delete=False) as file:
            return str(written.rename(file.name))
