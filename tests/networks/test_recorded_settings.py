from __future__ import annotations

import pytest
import torch

from monai_vqoasis.errors import InputError
from monai_vqoasis.networks import ResidualVQVAE, load_weights
from tests.networks.test_gated_pixelcnn import randomized

SMALL = {"channels": (8, 8), "decoder_blocks": (1, 1), "num_embeddings": 16, "embedding_dim": 4}


def residual(**kwargs):
    return ResidualVQVAE(**SMALL, **{"resampled_size": (64, 64), **kwargs})


@pytest.mark.parametrize(
    ("make", "trained_with", "other", "message"),
    [
        (residual, {"field_of_view": (40, 48)}, {"field_of_view": (44, 52)}, r"field_of_view \[40, 48\].*\[44, 52\]"),
        (residual, {"field_of_view": (40, 48)}, {}, r"field_of_view \[40, 48\].*has None"),
        (residual, {}, {"field_of_view": (40, 48)}, r"field_of_view None.*has \[40, 48\]"),
        (
            residual,
            {"field_of_view": (40, 48), "resampled_size": (32, 32)},
            {"field_of_view": (40, 48)},
            r"resampled_size \[32, 32\].*\[64, 64\]",
        ),
        (randomized, {"dilations": (1, 2)}, {"dilations": (2, 1)}, r"dilations \[1, 2\].*\[2, 1\]"),
    ],
)
def test_weights_fit_their_own_settings_only(tmp_path, make, trained_with, other, message):
    trained = make(**trained_with)
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    load_weights(make(**trained_with), tmp_path / "model.pt")
    network = make(**other)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(InputError, match=rf"model\.pt: .*{message}.*network_def"):
        load_weights(network, tmp_path / "model.pt")
    for strict in (True, False):
        with pytest.raises(InputError, match=message):
            network.load_state_dict(trained.state_dict(), strict=strict)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_size_that_is_not_used_makes_no_difference():
    trained = residual(resampled_size=(32, 32))
    assert residual().load_state_dict(trained.state_dict()).missing_keys == []


def test_weights_that_record_nothing_are_taken_as_they_are(tmp_path, caplog):
    trained = residual(field_of_view=(40, 48)).eval()
    state = trained.state_dict()
    del state["_extra_state"]
    torch.save(state, tmp_path / "model.pt")
    loaded = load_weights(residual(field_of_view=(40, 48)), tmp_path / "model.pt")
    assert "do not say" in caplog.text
    assert "field_of_view [40, 48]" in caplog.text
    image = torch.rand(1, 1, 40, 48)
    assert torch.equal(loaded(image), trained(image))
    missing = dict(list(state.items())[1:])
    with pytest.raises(InputError, match="1 of its tensors are missing"):
        residual(field_of_view=(40, 48)).load_state_dict(missing, strict=False)


@pytest.mark.parametrize("recorded", [torch.zeros(0), torch.tensor(5), torch.tensor([40.0, 48.0])])
def test_a_damaged_record_is_refused(recorded):
    network = residual(field_of_view=(40, 48))
    with pytest.raises(InputError, match="these weights were trained with"):
        network.load_state_dict({**network.state_dict(), "_extra_state": recorded})
