from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from monai_vqoasis.networks import PixelCNN

TINY = {"num_embeddings": 5, "channels": 8, "hidden_channels": 4}


def test_the_original_architecture():
    assert sum(p.numel() for p in PixelCNN().parameters()) == 2_367_424


@pytest.mark.parametrize("num_blocks", [0, 1, 2, 7])
@pytest.mark.parametrize("num_head_layers", [0, 1, 2])
def test_causality_by_gradient(num_blocks, num_head_layers):
    network = PixelCNN(**TINY, num_blocks=num_blocks, num_head_layers=num_head_layers).double().eval()
    codes = torch.randint(5, (1, 7, 8))
    one_hot = F.one_hot(codes, 5).movedim(-1, 1).double().requires_grad_()
    logits = network(one_hot)
    assert torch.allclose(logits, network(codes), atol=1e-12)
    for r, c in [(0, 0), (0, 7), (3, 4), (6, 0), (6, 7)]:
        (gradient,) = torch.autograd.grad(logits[:, :, r, c].sum(), one_hot, retain_graph=True)
        reached = (gradient.abs().sum((0, 1)) > 0).flatten()
        position = r * 8 + c
        assert not reached[position:].any()
        if position:
            assert reached[position - 1] or c == 0
            assert reached[:position].any()


def test_it_learns_what_follows_what():
    network = PixelCNN(**TINY, num_blocks=1)
    codes = (torch.arange(64).view(8, 8) + torch.randint(5, (16, 1, 1))) % 5
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(60):
        loss = F.cross_entropy(network(codes), codes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    guessed = network.eval()(codes).argmax(1)
    assert (guessed == codes).flatten(1)[:, 1:].float().mean() > 0.95
