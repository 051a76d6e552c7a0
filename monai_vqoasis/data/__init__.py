"""Where slices are and whose they are."""

from monai_vqoasis.data.cases import CDR_RATINGS, cdr_index, load_cdr
from monai_vqoasis.data.codes import CodeDataset
from monai_vqoasis.data.cohort import write_oasis_cohort
from monai_vqoasis.data.demo import ensure_demo_cohort, write_demo_cohort
from monai_vqoasis.data.images import find_images
from monai_vqoasis.data.oasis import SECTIONS, OASISSliceDataset, load_slice_datalist, parse_slice_name, slice_name
from monai_vqoasis.data.raw_oasis import find_raw_volumes
from monai_vqoasis.data.samplers import EpochSampler

__all__ = [
    "CDR_RATINGS",
    "SECTIONS",
    "CodeDataset",
    "EpochSampler",
    "OASISSliceDataset",
    "cdr_index",
    "ensure_demo_cohort",
    "find_images",
    "find_raw_volumes",
    "load_cdr",
    "load_slice_datalist",
    "parse_slice_name",
    "slice_name",
    "write_demo_cohort",
    "write_oasis_cohort",
]
