from __future__ import annotations

import base64
import csv
import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from monai_vqoasis.errors import InputError
from monai_vqoasis.evaluation.render import format_column
from monai_vqoasis.evaluation.report import Report
from monai_vqoasis.evaluation.section import Picture, Section, Table
from monai_vqoasis.evaluation.slices import SliceSet
from monai_vqoasis.metrics import Estimate

EVIL = "<script>alert('x')</script> & \"quoted\""
VOID = {"meta", "img", "br", "link", "hr"}


class Page(HTMLParser):
    """Text, tags and attributes; a tag that is closed out of turn fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def slices() -> SliceSet:
    return SliceSet(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), ["case_001", "case_001", "case_002"], [0, 1, 0])


def sections() -> list[Section]:
    plot = Figure(figsize=(3, 2))
    plot.subplots().plot([1, 2], [3, 4])
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    colour = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    return [
        Section(
            "fidelity",
            "Fidelity & more",
            text=["A paragraph with 1 < 2."],
            warnings=[f"Beware {EVIL}"],
            tables=[
                Table(f"Table {EVIL}", ["what", "value"], [["psnr", Estimate(28.5312, 28.1, 28.9)], ["none", None]])
            ],
            pictures=[Picture(f"Grey {EVIL}", grey), Picture("Colour", colour), Picture("A plot", plot)],
            metrics={
                "psnr": Estimate(28.5, float("nan"), float("inf")),
                "nested": {"count": np.int64(3), "share": torch.tensor(0.5), "list": [1, float("nan")]},
            },
            per_slice={"psnr": [28.0, float("nan"), 29.25]},
        ),
        Section("codes", "Codes", metrics={"used": 200}, per_slice={"bits": torch.tensor([1.5, 2.5, 3.5])}),
    ]


@pytest.fixture
def paths(tmp_path, slices):
    makers = [lambda s=s: s for s in sections()]
    description = {"Data": f"slices {EVIL}", "Weights": "model.pt"}
    return Report(makers, tmp_path / "out", "Evaluation & report", description, slices).run()


def test_the_page_says_everything_and_escapes_it(paths):
    text = paths.html.read_text(encoding="utf-8")
    page = Page(text)
    for said in (
        "Evaluation & report",
        "Fidelity & more",
        f"Beware {EVIL}",
        f"Table {EVIL}",
        f"Grey {EVIL}",
        "A plot",
        "A paragraph with 1 < 2.",
        f"slices {EVIL}",
        "28.53 [28.1, 28.9]",
        "\N{EN DASH}",
    ):
        assert said in page.text
    assert not page.all("script") and "<script" not in text
    assert [a["href"] for a in page.all("a")] == ["#fidelity", "#codes"]
    assert {a["id"] for a in page.all("section")} == {"fidelity", "codes"}


def test_pictures_are_inside_the_page_and_nothing_is_loaded_from_elsewhere(paths):
    page = Page(paths.html.read_text(encoding="utf-8"))
    images = page.all("img")
    assert [image["alt"] for image in images] == [f"Grey {EVIL}", "Colour", "A plot"]
    given = [picture.content for picture in sections()[0].pictures[:2]]
    for image, pixels in zip(images[:2], given, strict=True):
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/png;base64"
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), pixels)
    assert b"<svg" in base64.b64decode(images[2]["src"].removeprefix("data:image/svg+xml;base64,"))
    loaded = [a.get("src") or "" for _, a in page.tags] + [a.get("href") or "" for _, a in page.tags]
    assert all(source.startswith(("data:", "#")) for source in loaded if source)
    assert "http" not in paths.html.read_text(encoding="utf-8")


def test_metrics_are_json_without_nan(paths):
    def refuse(constant):
        raise AssertionError(constant)

    metrics = json.loads(paths.metrics.read_text(encoding="utf-8"), parse_constant=refuse)
    assert metrics == {
        "fidelity": {
            "psnr": {"value": 28.5, "low": None, "high": None},
            "nested": {"count": 3, "share": 0.5, "list": [1, None]},
        },
        "codes": {"used": 200},
    }


def test_every_slice_has_a_row(paths):
    rows = list(csv.reader(paths.per_slice.read_text(encoding="utf-8").splitlines()))
    assert rows == [
        ["case", "slice_index", "psnr", "bits"],
        ["case_001", "0", "28.0", "1.5"],
        ["case_001", "1", "", "2.5"],
        ["case_002", "0", "29.25", "3.5"],
    ]


def test_the_same_sections_give_the_same_page(tmp_path, slices, paths):
    makers = [lambda s=s: s for s in sections()]
    description = {"Data": f"slices {EVIL}", "Weights": "model.pt"}
    again = Report(makers, tmp_path / "again", "Evaluation & report", description, slices).run()
    assert again.html.read_bytes() == paths.html.read_bytes()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([{"psnr": [1.0, 2.0]}], "section 's0': column 'psnr' .* has 2 values for 3 slices"),
        ([{"a": [1, 2, 3]}, {"a": [1, 2, 3]}], "section 's1': column 'a' .* there already"),
        ([{"case": [1, 2, 3]}], "section 's0': column 'case' .* there already"),
    ],
)
def test_a_bad_column_names_its_section_and_nothing_is_written(tmp_path, slices, columns, message):
    made = [Section(f"s{n}", "title", per_slice=column) for n, column in enumerate(columns)]
    with pytest.raises(InputError, match=message):
        Report([lambda s=s: s for s in made], tmp_path / "out", slices=slices).run()
    assert not (tmp_path / "out").exists()


def test_a_maker_that_fails_leaves_the_old_report(tmp_path, slices, paths):
    before = {path: path.read_bytes() for path in paths}

    def broken():
        raise RuntimeError("its own error")

    with pytest.raises(RuntimeError, match="its own error"):
        Report([lambda: sections()[0], broken], paths.html.parent, slices=slices).run()
    assert {path: path.read_bytes() for path in paths.html.parent.iterdir()} == before


def test_two_sections_of_one_name_and_columns_without_slices_are_errors(tmp_path):
    with pytest.raises(InputError, match="two sections are named 'twin'"):
        Report([lambda: Section("twin", "a"), lambda: Section("twin", "b")], tmp_path).run()
    with pytest.raises(InputError, match="no slices"):
        Report([lambda: Section("s", "a", per_slice={"x": [1]})], tmp_path).run()
    assert Report([lambda: Section("s", "a")], tmp_path).run().per_slice is None


@pytest.mark.parametrize(
    ("cells", "texts"),
    [
        ([28.5, 9.4123, 10], ["28.500", "9.412", "10"]),
        ([8192, np.int64(-5), True], ["8,192", "\N{MINUS SIGN}5", "yes"]),
        ([1e-6, 1234.5], ["1.000e-06".replace("-", "\N{MINUS SIGN}"), "1,234"]),
        ([float("nan"), float("inf"), 0.0, None, "text"], ["NaN", "∞", "0", "\N{EN DASH}", "text"]),
        ([torch.tensor(0.25)], ["0.2500"]),
    ],
)
def test_numbers_read_well(cells, texts):
    assert [cell.text for cell in format_column(cells)] == texts


def test_intervals_have_the_digits_that_their_width_deserves():
    column = [
        Estimate(28.5312, 28.1234, 28.9321),
        Estimate(0.91234, 0.9101, 0.9149),
        Estimate(3.0, *[float("nan")] * 2),
    ]
    cells = [format_column([estimate])[0] for estimate in column]
    assert [(cell.text, cell.interval) for cell in cells] == [
        ("28.53", "[28.1, 28.9]"),
        ("0.9123", "[0.9101, 0.9149]"),
        ("3.000", ""),
    ]
