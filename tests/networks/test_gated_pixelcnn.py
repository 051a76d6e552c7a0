from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from monai_vqoasis.errors import InputError
from monai_vqoasis.networks import GatedPixelCNN, MaskedConv2d

TINY = {
    "num_embeddings": 5,
    "shape": (7, 8),
    "embedding_dim": 3,
    "channels": 8,
    "hidden_channels": 6,
    "kernel_size": 5,
    "block_kernel_size": 3,
    "dilations": (1, 2),
    "dropout": 0.0,
}


def randomized(**kwargs):
    """With embeddings and branches that matter, as after training."""
    network = GatedPixelCNN(**{**TINY, **kwargs})
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network.double().eval()


def rows_by_distance(height):
    """The definition of the scan: nearest to the middle first, the upper of two first."""
    return sorted(range(height), key=lambda row: (abs(row - (height - 1) / 2), row))


@pytest.mark.parametrize("height", [1, 2, 6, 7])
def test_rows_are_scanned_from_the_middle(height):
    assert randomized().scan_order(height).tolist() == rows_by_distance(height)


@pytest.mark.parametrize("shape", [(7, 8), (6, 5)])
@pytest.mark.parametrize("kwargs", [{}, {"dilations": ()}, {"dilations": (3, 1)}, {"block_kernel_size": 5}])
def test_a_position_sees_earlier_waves_only_and_its_mirror_image(shape, kwargs):
    network = randomized(**kwargs)
    one_hot = F.one_hot(torch.randint(5, (1, *shape)), 5).movedim(-1, 1).double().requires_grad_()
    logits = network(one_hot)
    assert torch.allclose(logits, network(one_hot.argmax(1)), atol=1e-12)
    order = rows_by_distance(shape[0])
    wave = torch.tensor([[c + network.slope * order.index(r) for c in range(shape[1])] for r in range(shape[0])])
    assert torch.equal(wave, network.wave(shape))
    for r in range(shape[0]):
        for c in (0, 3, shape[1] - 1):
            (gradient,) = torch.autograd.grad(logits[:, :, r, c].sum(), one_hot, retain_graph=True)
            reached = gradient.abs().sum((0, 1)) > 0
            assert not reached[wave >= wave[r, c]].any()
            mirrored = shape[0] - 1 - r
            if mirrored < r:
                assert reached[mirrored, c]
                assert reached[mirrored, min(c + 1, shape[1] - 1)]
            elif order.index(r) >= 2:
                assert reached[r + 1, c]


def test_half_a_kernel_is_the_whole_of_what_a_masked_kernel_sees():
    for mask_type, dilation in (("A", 1), ("B", 1), ("B", 3)):
        whole = MaskedConv2d(3, 4, 5, mask_type, dilation=dilation)
        half = MaskedConv2d(3, 4, 5, mask_type, dilation=dilation, upper_half=True)
        half.load_state_dict({"weight": whole.weight[:, :, :3], "bias": whole.bias})
        features = torch.randn(2, 3, 9, 7)
        torch.testing.assert_close(half(features), whole(features))
        assert half.taps() == whole.taps()
        assert len(half.taps()) == 12 + (mask_type == "B")


def test_a_grid_may_be_smaller_but_not_larger():
    network = randomized()
    assert network(torch.randint(5, (2, 4, 6))).shape == (2, 5, 4, 6)
    with pytest.raises(ValueError, match=r"grids of up to \(7, 8\), got \(7, 9\)"):
        network(torch.randint(5, (1, 7, 9)))


def test_conditions_are_added_where_known_and_sometimes_left_out_in_training():
    network = randomized(conditions={"slice_index": 4, "cdr": 3}, condition_dropout=0.5)
    codes = torch.randint(5, (1, 4, 5)).expand(200, -1, -1)
    known = torch.full((200,), 2)
    without = network(codes)
    assert torch.equal(network(codes, slice_index=-torch.ones(200, dtype=torch.int64)), without)
    assert not torch.allclose(network(codes, slice_index=known), without)
    mixed = network(codes, slice_index=torch.tensor([2, -1]).repeat(100))
    torch.testing.assert_close(mixed[0], network(codes, slice_index=known)[0])
    torch.testing.assert_close(mixed[1], without[1])
    network.train()
    left_out = (network(codes, slice_index=known) - without).flatten(1).abs().amax(1) < 1e-9
    assert 60 < left_out.sum() < 140
    with pytest.raises(ValueError, match="no condition age; it has slice_index, cdr"):
        network(codes, age=known)


def test_a_prior_knows_which_conditions_it_was_trained_on():
    torch.manual_seed(0)
    network = GatedPixelCNN(**{**TINY, "conditions": {"slice_index": 6, "cdr": 5}}, condition_dropout=0.0)
    with pytest.raises(InputError, match=r"trained on slices whose cdr was not known"):
        network.check_conditions({"cdr": 0})
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2, weight_decay=0.1)
    for _ in range(30):
        codes, index = torch.randint(5, (16, 4, 5)), torch.randint(1, 4, (16,))
        rating = 3 * torch.randint(2, (16,)) - 1  # -1: not known
        loss = F.cross_entropy(network(codes, slice_index=index, cdr=rating), codes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert network.trained_values("slice_index") == [1, 2, 3]
    assert network.trained_values("cdr") == [2]
    network.check_conditions({"slice_index": 3, "cdr": -1})
    with pytest.raises(InputError, match=r"slice_index must be 1 to 3, which this prior was trained on, got 4"):
        network.check_conditions({"slice_index": 4})
    with pytest.raises(InputError, match=r"cdr must be 2, which"):
        network.check_conditions({"cdr": 9})


def test_it_learns_a_mirror_image():
    torch.manual_seed(0)
    network = GatedPixelCNN(**{**TINY, "shape": (6, 4)})
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(150):
        half = torch.randint(5, (32, 3, 4))
        codes = torch.cat([half, half.flip(1)], dim=1)
        loss = F.cross_entropy(network(codes), codes, reduction="none")
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    assert loss[:, :3].mean() > 1.5  # log(5) is 1.61: the first of each pair of rows is noise
    assert loss[:, 3:].mean() < 0.1
