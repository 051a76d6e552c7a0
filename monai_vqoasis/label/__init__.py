"""The bundle in MONAI Label (extra ``label``): ``python -m monai_vqoasis.label --studies <folder>``."""

from importlib.util import find_spec

from monai_vqoasis.label.torchvision_operators import ensure_torchvision

if find_spec("monailabel") is not None and find_spec("torchvision") is not None:
    ensure_torchvision()
