"""Where slices are and whose they are."""

from monai_vqoasis.data.demo import ensure_demo_cohort, write_demo_cohort
from monai_vqoasis.data.images import find_images
from monai_vqoasis.data.oasis import SECTIONS, OASISSliceDataset, load_slice_datalist, parse_slice_name, slice_name
from monai_vqoasis.data.samplers import EpochSampler

__all__ = [
    "SECTIONS",
    "EpochSampler",
    "OASISSliceDataset",
    "ensure_demo_cohort",
    "find_images",
    "load_slice_datalist",
    "parse_slice_name",
    "slice_name",
    "write_demo_cohort",
]
