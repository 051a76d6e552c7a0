from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from monai_vqoasis.networks import VectorQuantizer
from monai_vqoasis.networks.vector_quantizer import codebook_fingerprint, kmeans_plus_plus

GRADIENT = {"learning": "gradient", "revival_threshold": 0.0}


def book(quantizer: VectorQuantizer) -> torch.Tensor:
    return quantizer.embedding.detach().clone()


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_the_nearest_code_is_nearest(scale):
    quantizer = VectorQuantizer(64, 8, data_init=False, init_range=scale).eval()
    encoding = torch.randn(2, 8, 5, 7) * scale
    vectors = encoding.movedim(1, -1).reshape(-1, 1, 8).double()
    distances = (vectors - quantizer.embedding.double()).square().sum(-1)
    chosen = quantizer.encode(encoding).reshape(-1, 1)
    assert torch.allclose(distances.gather(1, chosen).squeeze(1), distances.min(1).values, rtol=1e-5)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("kwargs", [{}, GRADIENT])
def test_decoding_the_codes_gives_the_quantised_output_to_the_last_bit(kwargs, train):
    quantizer = VectorQuantizer(16, 4, **kwargs).train(train)
    encoding = torch.randn(2, 4, 6, 6, requires_grad=True)
    before = quantizer.embedding.detach().clone()
    output = quantizer(encoding)
    if train and quantizer.learning == "ema":  # the book has moved on since
        assert not torch.equal(before, quantizer.embedding)
    else:
        assert torch.equal(output.quantized, quantizer.decode(output.codes))
    assert torch.equal(quantizer.eval()(encoding).quantized, quantizer.decode(quantizer.encode(encoding)))


def test_the_gradient_passes_straight_through():
    quantizer = VectorQuantizer(16, 4)
    encoding = torch.randn(2, 4, 3, 3, requires_grad=True)
    weights = torch.randn(2, 4, 3, 3)
    (quantizer(encoding).quantized * weights).sum().backward()
    assert torch.equal(encoding.grad, weights)


def test_losses_are_those_of_the_paper():
    encoding = torch.randn(2, 4, 3, 3, requires_grad=True)
    quantizer = VectorQuantizer(16, 4, commitment_cost=0.3, data_init=False, **GRADIENT)
    output = quantizer(encoding)
    distance = (encoding - quantizer.decode(output.codes)).square().mean()
    assert torch.allclose(output.loss, 1.3 * distance)
    output.loss.backward()
    # only the commitment term pulls the encoder, only the codebook term pulls the book
    difference = (encoding - quantizer.decode(output.codes)).detach()
    assert torch.allclose(encoding.grad, 0.3 * 2 * difference / difference.numel(), atol=1e-7)
    pull = torch.zeros(16, 4).index_add_(0, output.codes.flatten(), -difference.movedim(1, -1).reshape(-1, 4))
    assert torch.allclose(quantizer.embedding.grad, 2 * pull / difference.numel(), atol=1e-7)
    ema = VectorQuantizer(16, 4, commitment_cost=0.3)(encoding)
    assert ema.loss.item() < output.loss.item()


def test_only_a_training_step_changes_the_book():
    quantizer = VectorQuantizer(16, 4)
    quantizer(torch.randn(2, 4, 8, 8, requires_grad=True))
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer.encode(torch.randn(2, 4, 8, 8))
    with torch.no_grad():
        quantizer(torch.randn(2, 4, 8, 8))
    quantizer.eval()(torch.randn(2, 4, 8, 8, requires_grad=True))
    quantizer.train()(torch.full((2, 4, 8, 8), torch.nan, requires_grad=True))
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())
    quantizer(torch.randn(2, 4, 8, 8, requires_grad=True))
    assert not torch.equal(quantizer.embedding, before["embedding"])


def test_moving_averages_follow_the_paper_and_unused_codes_stay():
    decay = 0.9
    quantizer = VectorQuantizer(8, 2, decay=decay, data_init=False, revival_threshold=0.0, init_range=1.0)
    start = book(quantizer)
    count, total = torch.zeros(8), torch.zeros(8, 2)
    for _ in range(5):
        encoding = torch.rand(1, 2, 4, 4, requires_grad=True)  # only one corner of the plane: some codes stay unused
        codes = quantizer(encoding).codes.flatten()
        vectors = encoding.detach().movedim(1, -1).reshape(-1, 2)
        for k in range(8):
            count[k] = decay * count[k] + (1 - decay) * (codes == k).sum()
            total[k] = decay * total[k] + (1 - decay) * vectors[codes == k].sum(0)
    used = count > 0
    assert 0 < used.sum() < 8
    assert torch.allclose(quantizer.embedding[used], total[used] / count[used].unsqueeze(1), atol=1e-6)
    assert torch.equal(quantizer.embedding[~used], start[~used])


def test_data_initialisation_starts_on_data_and_spreads():
    centres = torch.arange(16.0).repeat_interleave(2).view(16, 2) * 10
    vectors = torch.cat([centres.repeat(4, 1), torch.zeros(5000, 2)])  # mostly background
    seeds = kmeans_plus_plus(vectors, 16)
    assert len(seeds.unique(dim=0)) == 16
    assert torch.isin(seeds[:, 0], vectors[:, 0]).all()
    quantizer = VectorQuantizer(16, 2, revival_threshold=0.0)
    assert not quantizer.initialized
    quantizer(vectors.T.view(1, 2, -1, 1).clone().requires_grad_())
    assert quantizer.initialized
    assert len(quantizer.encode(vectors.T.view(1, 2, -1, 1)).unique()) == 16


@pytest.mark.parametrize(("threshold", "at_least", "at_most"), [(0.0, 1, 2), (0.05, 31, 32)])
def test_dead_codes_are_revived(threshold, at_least, at_most):
    centres = torch.randn(32, 4) * 10 + 100  # far from the uniform start: one code wins everything
    quantizer = VectorQuantizer(32, 4, data_init=False, revival_threshold=threshold, decay=0.9)
    for _ in range(300):
        points = centres[torch.randint(32, (256,))] + torch.randn(256, 4) * 0.01
        quantizer(points.T.reshape(1, 4, 16, 16))
    points = centres.repeat(200, 1) + torch.randn(6400, 4) * 0.01
    used = len(quantizer.encode(points.T.reshape(1, 4, 80, 80)).unique())
    assert at_least <= used <= at_most


def test_no_intermediate_is_vectors_times_codes_times_dimensions():
    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            tensors = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor)]
            self.numel = max([self.numel, *(t.numel() for t in tensors)])
            return result

    quantizer = VectorQuantizer(64, 32)
    encoding = torch.randn(2, 32, 16, 16, requires_grad=True)
    with Largest() as largest:
        quantizer(encoding).loss.backward()
    vectors = 2 * 16 * 16
    assert largest.numel <= vectors * 64


@pytest.mark.parametrize("kwargs", [{}, GRADIENT])
def test_the_book_saves_and_loads_however_it_was_learned(kwargs):
    trained = VectorQuantizer(16, 4, **kwargs)
    trained(torch.randn(2, 4, 8, 8, requires_grad=True))
    loaded = VectorQuantizer(16, 4)
    loaded.load_state_dict(trained.state_dict())
    encoding = torch.randn(1, 4, 5, 5)
    assert torch.equal(loaded.encode(encoding), trained.encode(encoding))
    assert torch.equal(codebook_fingerprint(loaded.embedding), codebook_fingerprint(trained.embedding))
    changed = trained.embedding.detach() + 1e-6
    assert not torch.equal(codebook_fingerprint(changed), codebook_fingerprint(trained.embedding))


@pytest.mark.parametrize("kwargs", [{"learning": "magic"}, {"decay": 1.0}, {"learning": "gradient"}])
def test_wrong_arguments_are_refused(kwargs):
    with pytest.raises(ValueError, match=r"must|needs"):
        VectorQuantizer(8, 2, **kwargs)
