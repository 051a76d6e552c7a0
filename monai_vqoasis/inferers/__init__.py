"""How a trained network is used."""

from monai_vqoasis.inferers.codes import encode_slices
from monai_vqoasis.inferers.reconstruction import ReconstructionInferer
from monai_vqoasis.inferers.sampling import AncestralSampler, draw_codes

__all__ = ["AncestralSampler", "ReconstructionInferer", "draw_codes", "encode_slices"]
