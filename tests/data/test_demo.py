from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from monai_vqoasis.data import load_slice_datalist, write_demo_cohort
from monai_vqoasis.data.demo import DemoPeople
from monai_vqoasis.errors import InputError

pytest.importorskip("nilearn", reason="the demo cohort needs the extra `demo`")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_demo_cohort(tmp_path_factory.mktemp("demo") / "cohort", 2, 1, 1, seed=5, progress=False)


def pixels(item):
    return np.asarray(Image.open(item["image"]))


def test_the_layout_is_the_releases(cohort):
    items = load_slice_datalist(cohort, "train")
    assert [(i["case"], i["slice_index"]) for i in items] == [
        (case, k) for case in ("case_001", "case_002") for k in range(32)
    ]
    assert len(load_slice_datalist(cohort, "test")) == 32
    assert "McConnell" in (cohort / "LICENCE.txt").read_text()
    assert not (cohort / ".unfinished").exists()


def test_slices_look_like_brains(cohort):
    for item in load_slice_datalist(cohort, "train")[8::16]:
        image = pixels(item)
        assert image.shape == (256, 256)
        brain = image > 0
        rows, columns = np.where(brain.any(1))[0], np.where(brain.any(0))[0]
        assert 105 < np.ptp(rows) < 152  # as in the release, whose brains end within the middle 144x176
        assert 135 < np.ptp(columns) < 184
        assert np.ptp(columns) > np.ptp(rows)  # front to back is the longer axis, and lies along columns
        assert not image[:40].any()
        assert not image[:, :24].any()
        # left and right halves mirror each other up to the person's asymmetry
        centred = image[rows[0] : rows[-1] + 1].astype(float)
        assert np.corrcoef(centred.ravel(), centred[::-1].ravel())[0, 1] > 0.8
        # dark fluid, grey and white matter are all there
        inside = image[brain]
        assert np.quantile(inside, 0.02) < 90 < 110 < np.median(inside) < np.quantile(inside, 0.9)


def test_ventricles_are_dark_and_lie_in_the_middle(cohort):
    image = pixels(load_slice_datalist(cohort, "train")[31]).astype(float)
    middle, side = image[110:146, 100:160], image[75:95, 100:160]
    assert np.quantile(middle, 0.1) < 80 < np.quantile(side, 0.1)


def test_people_differ_and_a_seed_gives_the_same_person():
    people = DemoPeople()
    assert np.array_equal(people.slab(1), people.slab(1))
    first, second = people.slab(1)[16].astype(float), people.slab(2)[16].astype(float)
    assert 5 < np.abs(first - second).mean() < 60


def test_an_existing_folder_is_left_alone(cohort):
    with pytest.raises(InputError, match="already there"):
        write_demo_cohort(cohort, 1, 1, 1, progress=False)
