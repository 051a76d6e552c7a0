from __future__ import annotations

import pytest
import torch

from monai_vqoasis.errors import InputError
from monai_vqoasis.networks import VQVAE, load_weights
from tests.networks.test_vqvae import SMALL


@pytest.mark.parametrize("nested", [True, False])
def test_weights_load_whole(tmp_path, nested):
    network = VQVAE(**SMALL)
    state = network.state_dict()
    torch.save({"model": state} if nested else state, tmp_path / "model.pt")
    loaded = load_weights(VQVAE(**SMALL), tmp_path / "model.pt")
    image = torch.rand(1, 1, 16, 16)
    assert torch.equal(loaded(image), network.eval()(image))
    assert not loaded.training


def test_whatever_does_not_fit_is_named(tmp_path):
    path = tmp_path / "model.pt"
    with pytest.raises(InputError, match=r"model\.pt: no trained weights"):
        load_weights(VQVAE(**SMALL), path)
    for content in (b"", b"not a checkpoint"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"model\.pt: is not a checkpoint"):
            load_weights(VQVAE(**SMALL), path)
    torch.save(VQVAE(**{**SMALL, "num_embeddings": 8}).state_dict(), path)
    with pytest.raises(InputError, match=r"another architecture.*quantizer"):
        load_weights(VQVAE(**SMALL), path)
    torch.save({"weight": torch.zeros(1)}, path)
    network = VQVAE(**SMALL)
    before = network.encoder[0].weight.clone()
    with pytest.raises(InputError, match="another architecture"):
        load_weights(network, path)
    assert torch.equal(network.encoder[0].weight, before)
    torch.save({"model": VQVAE(**SMALL)}, path)  # pickled code is refused
    with pytest.raises(InputError, match="tensors only"):
        load_weights(VQVAE(**SMALL), path)
