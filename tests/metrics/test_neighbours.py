from __future__ import annotations

import pytest
import torch

from monai_vqoasis.errors import InputError
from monai_vqoasis.metrics import neighbours
from monai_vqoasis.metrics.neighbours import nearest_neighbours


@pytest.mark.parametrize("chunk_values", [2**25, 7 * 40])
@pytest.mark.parametrize("k", [1, 4])
def test_neighbours_are_those_of_cdist(monkeypatch, chunk_values, k):
    monkeypatch.setattr(neighbours, "CHUNK_VALUES", chunk_values)
    queries, references = torch.randn(23, 5, 8), torch.randn(31, 5, 8)
    distances, indices = torch.cdist(queries.flatten(1), references.flatten(1)).topk(k, largest=False)
    found = nearest_neighbours(queries, references, k)
    torch.testing.assert_close(found.distances, distances)
    assert torch.equal(found.indices, indices)


def test_a_copy_is_at_distance_zero_and_its_neighbour_at_one():
    references = torch.randint(100, 200, (30, 1, 64, 64), dtype=torch.uint8)
    near = references[17].clone()
    near[0, 3, 5] += 1
    references = torch.cat([references, near[None]])
    found = nearest_neighbours(references[[17]], references, 2)
    assert found.distances.tolist() == [[0, 1]]
    assert found.indices.tolist() == [[17, 30]]


def test_vectors_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="same dimensions"):
        nearest_neighbours(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(InputError, match="at least k = 3"):
        nearest_neighbours(torch.zeros(2, 3), torch.zeros(2, 3), 3)
