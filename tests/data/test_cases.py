from __future__ import annotations

import pytest

from monai_vqoasis.data import CodeDataset, cdr_index, load_cdr
from monai_vqoasis.errors import InputError


def test_ratings_are_read_from_tables_with_commas_and_tabs(tmp_path):
    rows = [("sex", "case", "cdr"), ("F", "case_001", "0"), ("M", "case_002", "0.5"), ("F", "case_003", "")]
    for name, separator in (("cases.csv", ","), ("participants.tsv", "\t")):
        (tmp_path / name).write_text("\n".join(separator.join(row) for row in rows))
        assert load_cdr(tmp_path / name) == {"case_001": 0, "case_002": 1}
    assert [cdr_index(rating) for rating in (0, "0.5", 1.0, "2", 3)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,age\ncase_001,70\n", "cases.csv: has no column cdr"),
        ("case,cdr\ncase_001,0\ncase_002,mild\n", "cases.csv, line 3: CDR must be one of 0, 0.5, 1, 2, 3, got 'mild'"),
        ("", "cases.csv: has no column case"),
        (None, "cases.csv: no such table"),
    ],
)
def test_a_table_at_fault_is_named_with_the_line(tmp_path, text, message):
    if text is not None:
        (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        load_cdr(tmp_path / "cases.csv")


def test_the_variant_depends_on_seed_epoch_and_index_alone():
    variants = [[{"codes": v, "case": f"case_{i}", "slice_index": i} for i in range(50)] for v in range(4)]
    dataset, again = CodeDataset(variants, seed=3), CodeDataset(variants, seed=3)
    seen = []
    for epoch in range(6):
        dataset.epoch = again.epoch = epoch
        row = [dataset[i]["codes"] for i in range(50)]
        assert row == [again[i]["codes"] for i in reversed(range(50))][::-1]
        assert [dataset[i]["slice_index"] for i in range(50)] == list(range(50))
        seen.append(row)
    assert all(set(row) == {0, 1, 2, 3} for row in seen)
    assert len({tuple(row) for row in seen}) == 6
    other = CodeDataset(variants, seed=4)
    assert [other[i]["codes"] for i in range(50)] != seen[0]


def test_ratings_are_added_where_they_are_known():
    items = [{"codes": 0, "case": "case_001", "slice_index": 0}, {"codes": 1, "case": "case_002", "slice_index": 0}]
    dataset = CodeDataset([items], cdr={"case_001": 2})
    assert [dataset[i]["cdr"] for i in range(2)] == [2, -1]
    assert "cdr" not in items[0]


def test_variants_of_different_slices_are_refused():
    for variants in ([], [[{}, {}], [{}]]):
        with pytest.raises(InputError, match="at least one variant"):
            CodeDataset(variants)
