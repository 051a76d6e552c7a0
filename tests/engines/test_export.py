from __future__ import annotations

import pytest
import torch

from monai_vqoasis.engines import OnnxExporter, OnnxNetwork
from monai_vqoasis.engines.export import DecoderGraph
from monai_vqoasis.errors import ExportError, InputError
from monai_vqoasis.inferers import AncestralSampler, draw_codes
from monai_vqoasis.inferers.sampling import position_uniforms
from monai_vqoasis.networks import VQVAE, GatedPixelCNN, PixelCNN, ResidualVQVAE
from tests.networks.test_residual import VIEW
from tests.networks.test_vqvae import SMALL

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def pair(field_of_view=True):
    """A pair with random weights, of grids of 8x8 codes of images of 64x64, or of 3x4 codes of 24x32."""
    torch.manual_seed(0)
    if field_of_view:
        vqvae, shape = ResidualVQVAE(**VIEW), (8, 8)
        prior = GatedPixelCNN(16, shape, 8, 12, 8, dilations=(1, 2), conditions={"slice_index": 3, "cdr": 5})
    else:
        vqvae, shape = VQVAE(**SMALL), (3, 4)
        prior = PixelCNN(16, channels=8, hidden_channels=4, num_blocks=1)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return vqvae.eval(), prior.eval().pair_with(vqvae, shape)


@pytest.fixture(scope="module", params=[True, False], ids=["gated", "original"])
def exported(request, tmp_path_factory):
    vqvae, prior = pair(request.param)
    size = (64, 64) if request.param else (24, 32)
    folder = tmp_path_factory.mktemp("onnx")
    OnnxExporter(vqvae, prior, folder, torch.rand(3, 1, *size), size, batch_size=2).run()
    return vqvae, prior, size, {name: OnnxNetwork(folder / f"{name}.onnx") for name in ("encoder", "decoder", "prior")}


@torch.no_grad()
def test_any_number_of_images_gives_the_codes_and_images_of_the_network(exported):
    vqvae, _, size, files = exported
    for number in (1, 5):
        image = torch.rand(number, 1, *size)
        codes = vqvae.encode(image)
        assert files["encoder"](image=image).dtype == torch.int64
        assert torch.equal(files["encoder"](image=image), codes)
        expected = vqvae.decode(codes, size).clamp(0, 1)
        torch.testing.assert_close(files["decoder"](codes=codes), expected, atol=1e-4, rtol=0)


def test_a_plain_loop_in_onnxruntime_draws_the_codes_of_the_sampler(exported):
    _, prior, _, files = exported
    shape, seeds = prior.latent_shape.tolist(), range(3)
    told = {name: torch.tensor([-1, 0, 2]) for name in prior.condition_values}
    codes, uniforms = torch.zeros(3, *shape, dtype=torch.int64), position_uniforms(seeds, shape)
    for row in prior.scan_order(shape[0]):
        for column in range(shape[1]):
            logits = files["prior"](codes=codes, **told)[:, :, row, column]
            codes[:, row, column] = draw_codes(logits, uniforms[:, row, column])
    assert torch.equal(codes, AncestralSampler(dtype=torch.float32)(prior, shape, seeds, conditions=told))
    assert len(codes.unique(dim=0)) == 3


def test_files_name_their_inputs_and_the_codebook(exported):
    _, prior, _, files = exported
    names = {name: [node.name for node in file.session.get_inputs()] for name, file in files.items()}
    assert names == {"encoder": ["image"], "decoder": ["codes"], "prior": ["codes", *prior.condition_values]}
    outputs = {name: file.session.get_outputs()[0] for name, file in files.items()}
    assert {name: node.name for name, node in outputs.items()} == {
        "encoder": "codes", "decoder": "image", "prior": "logits",
    }  # fmt: skip
    for file in files.values():
        written = file.session.get_modelmeta().custom_metadata_map["codebook_fingerprint"]
        assert bytes.fromhex(written) == bytes(prior.codebook_fingerprint.tolist())


def test_what_does_not_fit_is_refused_and_nothing_is_written(tmp_path):
    vqvae, prior = pair(field_of_view=False)
    with pytest.raises(
        InputError, match=r"grids are \[3, 4\].* of \[64, 64\] are \[8, 8\]: set image_size to \[24, 32\]"
    ):
        OnnxExporter(vqvae, prior, tmp_path / "out", [], (64, 64))
    with pytest.raises(InputError, match=r"images of \[24, 32\], one of the slices is \[20, 32\]"):
        OnnxExporter(vqvae, prior, tmp_path / "out", torch.rand(1, 1, 20, 32), (24, 32)).run()
    with pytest.raises(InputError, match="no slice"):
        OnnxExporter(vqvae, prior, tmp_path / "out", [], (24, 32)).run()
    strict = {"image_tolerance": -1.0}
    with pytest.raises(ExportError, match=r"decoder.onnx: its images differ by"):
        OnnxExporter(vqvae, prior, tmp_path / "out", torch.rand(1, 1, 24, 32), (24, 32), **strict).run()
    exporter = OnnxExporter(vqvae, prior, tmp_path / "out", torch.rand(1, 1, 24, 32), (24, 32))
    files = {
        "encoder": vqvae.encode,
        "decoder": DecoderGraph(vqvae, (24, 32)),
        "prior": lambda codes, **told: prior(codes, **told) * torch.nan,
    }
    with pytest.raises(ExportError, match=r"prior.onnx: its logits differ by nan"):
        exporter.compare(files)
    with pytest.raises(InputError, match="another codebook"):
        OnnxExporter(VQVAE(**SMALL), prior, tmp_path / "out", [], (24, 32))
    assert not (tmp_path / "out").exists()


@torch.no_grad()
def test_only_a_tie_may_be_given_another_code():
    vqvae, prior = pair(field_of_view=False)
    exporter = OnnxExporter(vqvae, prior, "unused", [], (24, 32))
    image = torch.rand(2, 1, 24, 32)
    codes = vqvae.encode(image)
    assert exporter.count_ties(image, codes, codes) == 0
    other = codes.clone()
    other[1, 2, 3] = (codes[1, 2, 3] + 1) % 16
    with pytest.raises(ExportError, match="1 of 24 codes are not the nearest"):
        exporter.count_ties(image, codes, other)
    vqvae.quantizer.embedding[other[1, 2, 3]] = vqvae.quantizer.embedding[codes[1, 2, 3]]
    assert exporter.count_ties(image, codes, other) == 1
