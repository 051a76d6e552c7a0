"""An evaluation: sections that measure, and the report that they make. Needs the extra ``evaluation``."""

from monai_vqoasis.evaluation.codes import (
    CodeHistograms,
    CodesSection,
    book_usage,
    brain_positions,
    code_histograms,
    decode_book,
)
from monai_vqoasis.evaluation.reconstruction import ReconstructionSection, slice_fidelity
from monai_vqoasis.evaluation.section import Picture, Section, SectionMaker, Table
from monai_vqoasis.evaluation.slices import (
    CodedSlices,
    SliceSet,
    code_slices,
    draw_slices,
    load_pictures,
    load_reconstructions,
    load_slices,
    to_bytes,
)

__all__ = [
    "CodeHistograms",
    "CodedSlices",
    "CodesSection",
    "Picture",
    "ReconstructionSection",
    "Section",
    "SectionMaker",
    "SliceSet",
    "Table",
    "book_usage",
    "brain_positions",
    "code_histograms",
    "code_slices",
    "decode_book",
    "draw_slices",
    "load_pictures",
    "load_reconstructions",
    "load_slices",
    "slice_fidelity",
    "to_bytes",
]
