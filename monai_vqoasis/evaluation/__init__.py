"""An evaluation: sections that measure, and the report that they make. Needs the extra ``evaluation``."""

from monai_vqoasis.evaluation.audit import AuditSection
from monai_vqoasis.evaluation.codes import (
    CodeHistograms,
    CodesSection,
    book_usage,
    brain_positions,
    code_histograms,
    decode_book,
)
from monai_vqoasis.evaluation.conditions import ConditionsSection
from monai_vqoasis.evaluation.generation import GenerationSection
from monai_vqoasis.evaluation.pair import describe, prior_bits
from monai_vqoasis.evaluation.processes import (
    code_slices_together,
    draw_slices_together,
    prior_bits_together,
)
from monai_vqoasis.evaluation.rate import RateSection
from monai_vqoasis.evaluation.reconstruction import ReconstructionSection, slice_fidelity
from monai_vqoasis.evaluation.report import Report, ReportPaths
from monai_vqoasis.evaluation.section import Picture, Section, SectionMaker, Table
from monai_vqoasis.evaluation.slices import (
    CodedSlices,
    SliceSet,
    code_slices,
    draw_slices,
    evenly_spread,
    load_pictures,
    load_reconstructions,
    load_slices,
    to_bytes,
)

__all__ = [
    "AuditSection",
    "CodeHistograms",
    "CodedSlices",
    "CodesSection",
    "ConditionsSection",
    "GenerationSection",
    "Picture",
    "RateSection",
    "ReconstructionSection",
    "Report",
    "ReportPaths",
    "Section",
    "SectionMaker",
    "SliceSet",
    "Table",
    "book_usage",
    "brain_positions",
    "code_histograms",
    "code_slices",
    "code_slices_together",
    "decode_book",
    "describe",
    "draw_slices",
    "draw_slices_together",
    "evenly_spread",
    "load_pictures",
    "load_reconstructions",
    "load_slices",
    "prior_bits",
    "prior_bits_together",
    "slice_fidelity",
    "to_bytes",
]
