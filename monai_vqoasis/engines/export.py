"""The trained pair as ONNX files."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import monai_vqoasis
from monai_vqoasis.errors import ExportError, InputError, require
from monai_vqoasis.files import replace_file
from monai_vqoasis.networks import CodePrior, VectorQuantizedAutoencoder

__all__ = ["DecoderGraph", "EncoderGraph", "OnnxExporter", "OnnxNetwork", "PriorGraph", "to_onnx"]

logger = logging.getLogger(__name__)


class EncoderGraph(nn.Module):
    """``image`` (float32, B C H W) to ``codes`` (int64, B h w)."""

    def __init__(self, vqvae: VectorQuantizedAutoencoder) -> None:
        super().__init__()
        self.vqvae = vqvae

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.vqvae.encode(image)


class DecoderGraph(nn.Module):
    """``codes`` (int64, B h w) to ``image`` (float32, B C H W of ``image_size``), clamped to [0, 1]."""

    def __init__(self, vqvae: VectorQuantizedAutoencoder, image_size: Sequence[int]) -> None:
        super().__init__()
        self.vqvae = vqvae
        self.image_size = tuple(image_size)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return self.vqvae.decode(codes, self.image_size).clamp(0, 1)


class PriorGraph(nn.Module):
    """``codes`` (int64, B h w) and each condition (int64, B, -1 where not known) to ``logits`` (float32, B K h w).

    The codes become one-hot, the form in which every prior is made of nothing but convolutions.
    """

    def __init__(self, prior: CodePrior) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, codes: torch.Tensor, conditions: dict[str, torch.Tensor]) -> torch.Tensor:
        one_hot = F.one_hot(codes, self.prior.num_embeddings).movedim(-1, 1).float()
        return self.prior(one_hot, **conditions)


def to_onnx(
    network: nn.Module,
    example: Mapping[str, torch.Tensor | dict[str, torch.Tensor]],
    output: str,
    properties: Mapping[str, str] | None = None,
) -> bytes:
    """An ONNX model whose batch size is free and whose other sizes are those of the example.

    Args:
        network: in evaluation mode, on the CPU.
        example: its arguments, in their order, of two samples; a dictionary's entries become inputs of their names.
        output: name of the output.
        properties: written into the model's metadata.

    Raises:
        MissingPackageError: without the packages of the extra ``export``.
    """
    require("export", "onnx", "onnxscript")
    batch = {0: torch.export.Dim("batch")}
    names: list[str] = []
    for name, value in example.items():
        names += list(value) if isinstance(value, dict) else [name]
    shapes = tuple(dict.fromkeys(value, batch) if isinstance(value, dict) else batch for value in example.values())
    for chatty in ("torch.onnx", "onnxscript"):  # which tell of operators that are not asked for
        logging.getLogger(chatty).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's, about itself
        traced = torch.export.export(network, tuple(example.values()), dynamic_shapes=shapes)
        program = torch.onnx.export(traced, dynamo=True, input_names=names, output_names=[output], verbose=False)
    program.model.metadata_props.update(properties or {})
    return program.model_proto.SerializeToString()


class OnnxNetwork:
    """An ONNX model, called with tensors and by name, on the CPU.

    Args:
        model: the model, or its file.

    Raises:
        MissingPackageError: without onnxruntime.
    """

    def __init__(self, model: bytes | str | os.PathLike[str]) -> None:
        require("export", "onnxruntime")
        source = model if isinstance(model, bytes) else os.fspath(model)
        self.session = import_module("onnxruntime").InferenceSession(source, providers=["CPUExecutionProvider"])

    def __call__(self, **inputs: torch.Tensor) -> torch.Tensor:
        """The output of the model for ``inputs``, named as the model names them."""
        arrays = {name: value.numpy() for name, value in inputs.items()}
        return torch.from_numpy(self.session.run(None, arrays)[0])


class OnnxExporter:
    """Writes a trained pair as ONNX files, after holding each against PyTorch in onnxruntime.

    Files, B being free: ``encoder.onnx`` (``image``, float32, B C H W in [0, 1], to ``codes``, int64, B h w),
    ``decoder.onnx`` (``codes`` to ``image``) and ``prior.onnx`` (``codes`` and each condition, int64, B, -1 where it
    is not known, to ``logits``, float32, B K h w; those of a position depend on codes before it alone). Their metadata
    hold the fingerprint of the codebook, by which files that belong together are told.

    Both compute in single precision and round differently, by about 1e-6: a vector as near to two codes may be given
    the other one, which is counted and said. A vector that is given any other code is an error.

    Args:
        vqvae: trained stage 1, on the CPU.
        prior: trained stage 2, on the codes of ``vqvae``, on the CPU.
        output_dir: folder to write to.
        slices: images C H W in [0, 1] on which the files are held against PyTorch.
        image_size: size (H, W) of an image.
        batch_size: slices at a time.
        image_tolerance: largest difference of a pixel, of values in [0, 1].
        logit_tolerance: largest difference of a logit.
        tie_tolerance: how much farther than the nearest code another may be, as a share of the distance.

    Raises:
        InputError: if the prior belongs to another VQ-VAE or its grid is not that of an image of ``image_size``.
    """

    def __init__(
        self,
        vqvae: VectorQuantizedAutoencoder,
        prior: CodePrior,
        output_dir: str | os.PathLike[str],
        slices: Iterable[torch.Tensor],
        image_size: Sequence[int] = (256, 256),
        batch_size: int = 8,
        image_tolerance: float = 1e-4,
        logit_tolerance: float = 1e-3,
        tie_tolerance: float = 1e-4,
    ) -> None:
        prior.check_paired_with(vqvae)
        self.latent_shape = vqvae.latent_shape(image_size)
        if tuple(prior.latent_shape.tolist()) != self.latent_shape:
            raise InputError(
                f"the prior's grids are {prior.latent_shape.tolist()}, those of an image of {list(image_size)} are "
                f"{list(self.latent_shape)}: set image_size to {list(vqvae.image_size(prior.latent_shape.tolist()))}."
            )
        self.vqvae = vqvae.eval()
        self.prior = prior.eval()
        self.output_dir = Path(output_dir)
        self.slices = slices
        self.image_size = tuple(image_size)
        self.batch_size = batch_size
        self.image_tolerance = image_tolerance
        self.logit_tolerance = logit_tolerance
        self.tie_tolerance = tie_tolerance

    def run(self) -> None:
        """Export, compare and write; nothing is written unless all three agree.

        Raises:
            ExportError: if a file does not compute what the network does.
            InputError: if there is no slice, or one of another size.
        """
        require("export", "onnx", "onnxruntime", "onnxscript")
        models = self.export()
        self.compare({name: OnnxNetwork(model) for name, model in models.items()})
        for name, model in models.items():
            replace_file(self.output_dir / f"{name}.onnx", model)

    def export(self) -> dict[str, bytes]:
        """The models ``encoder``, ``decoder`` and ``prior``."""
        properties = {
            "codebook_fingerprint": bytes(self.prior.codebook_fingerprint.tolist()).hex(),
            "monai_vqoasis": monai_vqoasis.__version__,
        }
        image = torch.zeros(2, self.vqvae.in_channels, *self.image_size)
        codes = torch.zeros(2, *self.latent_shape, dtype=torch.int64)
        told = {"codes": codes, "conditions": self.conditions(2)}
        return {
            "encoder": to_onnx(EncoderGraph(self.vqvae), {"image": image}, "codes", properties),
            "decoder": to_onnx(DecoderGraph(self.vqvae, self.image_size), {"codes": codes}, "image", properties),
            "prior": to_onnx(PriorGraph(self.prior), told, "logits", properties),
        }

    def conditions(self, batch: int) -> dict[str, torch.Tensor]:
        """Every value of each condition in turn, the unknown one first."""
        return {name: torch.arange(batch) % (n + 1) - 1 for name, n in self.prior.condition_values.items()}

    @torch.no_grad()
    def compare(self, files: Mapping[str, OnnxNetwork]) -> None:
        """Hold the files against PyTorch on all slices, and say how near they are."""
        slices = ties = 0
        farthest = {"images": 0.0, "logits": 0.0}
        limits = {"images": self.image_tolerance, "logits": self.logit_tolerance}
        decoder = DecoderGraph(self.vqvae, self.image_size)
        for image in self.batches():
            codes = self.vqvae.encode(image)
            slices += len(image)
            ties += self.count_ties(image, codes, files["encoder"](image=image))
            told = self.conditions(len(image))
            for name, what, ours, theirs in (
                ("decoder", "images", decoder(codes), files["decoder"](codes=codes)),
                ("prior", "logits", self.prior(codes, **told), files["prior"](codes=codes, **told)),
            ):
                difference = (ours - theirs).abs().max().item()
                if not difference <= limits[what]:  # NaN is not
                    raise ExportError(f"{name}.onnx: its {what} differ by {difference:.1e}; nothing was written.")
                farthest[what] = max(farthest[what], difference)
        if not slices:
            raise InputError("there is no slice to compare the exported networks on.")
        total = slices * self.latent_shape[0] * self.latent_shape[1]
        equal = f"{total - ties:,} of {total:,} codes of {slices} slices are those of PyTorch"
        logger.info(f"encoder.onnx: {equal}" + (f", {ties} are the other of two as near" if ties else ""))
        logger.info(f"decoder.onnx: images differ from PyTorch's by at most {farthest['images']:.1e}")
        logger.info(f"prior.onnx: logits differ from PyTorch's by at most {farthest['logits']:.1e}")

    def count_ties(self, image: torch.Tensor, codes: torch.Tensor, exported: torch.Tensor) -> int:
        """How many codes differ, all of them ties.

        Raises:
            ExportError: if one of them is no tie.
        """
        differs = codes != exported
        encoding = self.vqvae.encoder(self.vqvae.prepare(image)).movedim(1, -1)[differs]
        near, other = (
            (encoding - F.embedding(chosen[differs], self.vqvae.quantizer.embedding)).norm(dim=-1)
            for chosen in (codes, exported)
        )
        if (wrong := int((other > near * (1 + self.tie_tolerance)).sum())) > 0:
            raise ExportError(
                f"encoder.onnx: {wrong} of {codes.numel()} codes are not the nearest; nothing was written."
            )
        return int(differs.sum())

    def batches(self) -> Iterator[torch.Tensor]:
        slices = iter(self.slices)
        while batch := [torch.as_tensor(image) for image in islice(slices, self.batch_size)]:
            for image in batch:
                if image.shape[1:] != self.image_size:
                    raise InputError(
                        f"the exported networks are for images of {list(self.image_size)}, "
                        f"one of the slices is {list(image.shape[1:])}: name other slices, or set image_size."
                    )
            yield torch.stack(batch)
