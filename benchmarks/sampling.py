"""How fast exact samples are, against the plain loop and against MONAI's transformer, and what the wrong way costs.

    python benchmarks/sampling.py [--threads 1] [--batches 1 8 32] [--device cpu]
        [--output sampling.json] [--plot sampling.png]
    python benchmarks/sampling.py --vqvae model.pt --prior model_prior.pt --dataset_dir <dataset_dir>

All in one process. The plain loop makes a pass of the whole grid for each of the 1,024 positions, each as long as the
next: a few passes are timed and multiplied. With a trained pair, the second form also reports the mean nats per code,
under that prior, of exact samples, of samples drawn as the original did (the whole grid drawn anew at every step), and
of real slices.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from monai.inferers import VQVAETransformerInferer
from monai.networks import nets
from monai.transforms import CenterSpatialCropd, Compose
from monai.utils.ordering import Ordering
from tqdm import tqdm
from trainings import CONFIGS

from monai_vqoasis.configuration import keep_freed_memory
from monai_vqoasis.data import OASISSliceDataset
from monai_vqoasis.inferers import WavefrontSampler, bits_per_code, draw_codes, encode_slices
from monai_vqoasis.networks import CodePrior, PixelCNN, load_weights
from monai_vqoasis.transforms import LoadSliced

GRID = (32, 32)
PASSES = 4


def seconds(run: Callable[[], object], repeat: int = 1) -> float:
    """Mean seconds of ``run`` after one warm-up."""
    run()
    start = now()
    for _ in range(repeat):
        run()
    return (now() - start) / repeat


def now() -> float:
    """Seconds, when all that was asked of a GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


@torch.no_grad()
def time_samplers(prior: PixelCNN, batch: int, dtype: torch.dtype) -> dict[str, float]:
    """Seconds for ``batch`` grids: the plain loop, the wavefront sampler, and one pass of the network."""
    network = copy.deepcopy(prior).to(dtype).eval()
    codes = torch.randint(prior.num_embeddings, (batch, *GRID), device=next(prior.parameters()).device)
    one_pass = seconds(lambda: network(codes), PASSES)
    sampler = WavefrontSampler(dtype=dtype)
    fast = seconds(lambda: sampler(prior, GRID, range(batch)), 2)
    plain = one_pass * GRID[0] * GRID[1]
    return {"plain": plain, "wavefront": fast, "one_pass": one_pass, "ratio": plain / fast, "passes": fast / one_pass}


@torch.no_grad()
def time_monai_transformer(num_parameters: int, num_embeddings: int, device: torch.device) -> dict[str, float]:
    """Seconds for one grid from MONAI's VQVAETransformerInferer with a transformer of about as many parameters."""
    width, layers = 128, 1
    while sum(p.numel() for p in _transformer(num_embeddings, width, layers).parameters()) < num_parameters:
        layers += 1
    transformer = _transformer(num_embeddings, width, layers).to(device).eval()
    vqvae = nets.VQVAE(2, 1, 1, (8, 8, 8), 1, (8, 8, 8), num_embeddings=num_embeddings, embedding_dim=8)
    vqvae = vqvae.to(device).eval()
    start = now()
    VQVAETransformerInferer().sample(
        latent_spatial_dim=GRID,
        starting_tokens=torch.full((1, 1), num_embeddings, device=device),
        vqvae_model=vqvae,
        transformer_model=transformer,
        ordering=Ordering("raster_scan", 2, (1, *GRID)),
        verbose=False,
    )
    count = sum(p.numel() for p in transformer.parameters())
    return {"seconds": now() - start, "parameters": count, "layers": layers, "width": width}


def _transformer(num_embeddings: int, width: int, layers: int) -> nets.DecoderOnlyTransformer:
    return nets.DecoderOnlyTransformer(num_embeddings + 1, GRID[0] * GRID[1], width, layers, 4)


def nats_per_code(prior: CodePrior, codes: torch.Tensor) -> float:
    """Mean negative log-likelihood of grids under the prior."""
    return bits_per_code(prior, codes, batch_size=8).mean().item() * math.log(2)


@torch.no_grad()
def redrawn_grids(prior: CodePrior, shape: tuple[int, int], count: int) -> torch.Tensor:
    """Grids as the original sampled them: at every one of h x w steps the whole grid is drawn anew."""
    codes = torch.zeros(count, *shape, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    for _ in tqdm(range(shape[0] * shape[1]), desc="original's way", disable=None):
        uniforms = torch.rand(count, *shape, dtype=torch.float64, generator=generator)
        codes = draw_codes(prior(codes).movedim(1, -1), uniforms)
    return codes


def compare_likelihoods(arguments: argparse.Namespace, count: int = 8) -> dict[str, float]:
    """Mean nats per code of exact samples, of grids drawn the original's way, and of real validation slices.

    Also the share of grids that float32 changes.
    """
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "generate.json"))
    vqvae = load_weights(parser.get_parsed_content("network_def"), arguments.vqvae)
    prior = load_weights(parser.get_parsed_content("prior_def"), arguments.prior)
    prior.check_paired_with(vqvae)
    shape = tuple(prior.latent_shape.tolist())
    crop = CenterSpatialCropd("image", vqvae.image_size(shape))
    slices = OASISSliceDataset(arguments.dataset_dir, "validate", Compose([LoadSliced("image"), crop]), cache_rate=0.0)
    real = torch.stack([item["codes"] for item in encode_slices(vqvae, slices)])
    seeds = [range(start, start + 32) for start in range(0, 32 * count, 32)]
    exact = torch.cat([WavefrontSampler()(prior, shape, part) for part in seeds])
    rounded = torch.cat([WavefrontSampler(dtype=torch.float32)(prior, shape, part) for part in seeds])
    changed = int((exact != rounded).flatten(1).any(1).sum())
    return {
        "float32 changes": changed / len(exact),
        "exact samples": nats_per_code(prior, exact),
        "original's way": nats_per_code(prior, redrawn_grids(prior, shape, count)),
        "real slices": nats_per_code(prior, real),
    }


def plot(numbers: dict[str, object], batches: list[int], path: Path) -> None:
    """Seconds a sample against the batch size: plain loop, wavefronts, one pass."""
    import matplotlib.pyplot as plt  # the extra `plots`

    figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
    lines = {"plain": "plain loop (1,024 passes)", "wavefront": "wavefronts (156 steps)", "one_pass": "one pass"}
    for key, label in lines.items():
        axis.plot(batches, [numbers[f"float64 batch {b}"][key] / b for b in batches], "o-", label=label)
    axis.plot(batches[:1], [numbers["monai_transformer"]["seconds"]], "s", label="MONAI transformer inferer")
    axis.set(xscale="log", yscale="log", xlabel="batch size", ylabel="seconds a 32x32 grid", xticks=batches)
    axis.set_xticklabels(batches)
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="where the times are taken")
    parser.add_argument("--output", type=Path, help="JSON file for the numbers")
    parser.add_argument("--plot", type=Path, help="PNG file for the times")
    parser.add_argument("--vqvae", type=Path, help="trained stage 1")
    parser.add_argument("--prior", type=Path, help="trained stage 2")
    parser.add_argument("--dataset_dir", type=Path, help="slices, for the likelihood of real ones")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    keep_freed_memory()
    numbers: dict[str, object] = {"threads": arguments.threads}
    if arguments.prior:
        likelihoods = compare_likelihoods(arguments)
        numbers |= likelihoods
        for name, value in likelihoods.items():
            print(f"{name:>16} {value:.4f}")
    else:
        numbers["device"] = str(arguments.device)
        prior = PixelCNN().to(arguments.device).eval()
        print("dtype    batch   plain loop    wavefront     ratio   passes   samples/s")
        for dtype in (torch.float64, torch.float32):
            for batch in arguments.batches:
                row = time_samplers(prior, batch, dtype)
                numbers[f"{dtype} batch {batch}".removeprefix("torch.")] = row
                print(
                    f"{str(dtype).removeprefix('torch.')} {batch:5d} {row['plain']:10.1f} s {row['wavefront']:10.3f} s "
                    f"{row['ratio']:8.0f}x {row['passes']:8.2f} {batch / row['wavefront']:9.1f}"
                )
        count = sum(p.numel() for p in prior.parameters())
        row = time_monai_transformer(count, prior.num_embeddings, arguments.device)
        ratio = row["seconds"] / numbers["float64 batch 1"]["wavefront"]
        numbers["monai_transformer"] = row | {"ratio": ratio}
        print(f"MONAI transformer, {row['parameters']:,} parameters: {row['seconds']:.1f} s a grid, {ratio:.0f}x")
        if arguments.plot:
            plot(numbers, arguments.batches, arguments.plot)
    if arguments.output:
        arguments.output.write_text(json.dumps(numbers, indent=4) + "\n")


if __name__ == "__main__":
    main()
