"""The HTML report: whole in one file, the worst picture first, and names that mean nothing to a browser."""

import html.parser
import json
import re

import numpy as np
import pytest

from segcourse import runs
from segcourse.datasets.labels import LabelSpec

SPEC = LabelSpec("two", ("ground & <b>sky</b>", "thing [/x]"), ((0, 0, 0), (250, 200, 0)))
ORIGIN = {"model": 'runs/<i>"a"/model.keras', "data": "my <data>", "split": "val"}


class Page(html.parser.HTMLParser):
    """The tags that are open at the end, the images' sources, and the text by tag."""

    def __init__(self, text):
        super().__init__()
        self.open, self.sources, self.text, self.tags = [], [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in ("img", "meta", "line", "polyline", "circle"):
            self.open.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def maps():
    """Three pictures: 25 % wrong, all right, all void; the first 8x500."""
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 500, 3), np.uint8)
    truth = np.zeros((3, 8, 500), np.uint8)
    truth[:, :4], truth[2] = 1, 255
    predicted = np.where(truth == 255, 0, truth)
    predicted[0, 4:, :250] = 1
    return images, truth, predicted


def write(folder, maps, **options):
    scores, shown = (
        runs.score_labels(maps[1], maps[2], len(SPEC)),
        (list(zip(*maps[:2], strict=True)), maps[2]),
    )
    path = runs.write_report(folder / "out", folder / "model.keras", ORIGIN, SPEC, *shown, scores, **options)
    return path.read_text(encoding="utf-8")


def test_it_is_one_whole_file_and_its_names_are_text(tmp_path, maps):
    text = write(tmp_path, maps, names=["<u>a", "b", "c"])
    page = Page(text)
    assert page.open == [] and len(page.sources) == 12
    assert all(
        source.startswith(("data:image/jpeg;base64,", "data:image/png;base64,")) for source in page.sources
    )
    assert "http" not in re.sub(r'"data:[^"]*"', "", text)
    assert not {"u", "script", "link", "svg"} & page.tags
    shown = "".join(page.text)
    assert all(name in shown for name in (*SPEC.classes, ORIGIN["model"], "1. <u>a", "my <data>"))


def test_the_worst_picture_is_first_and_the_numbers_are_those_of_the_scores(tmp_path, maps):
    shown = "".join(Page(write(tmp_path, maps)).text)
    places = re.findall(r"(\d)\. number (\d) · ([\d.]+ % right|no labelled pixel)", shown)
    assert places == [
        ("1", "0", "75.0 % right"),
        ("2", "1", "100.0 % right"),
        ("3", "2", "no labelled pixel"),
    ]
    scores = runs.score_labels(maps[1], maps[2], 2)
    assert f"{scores['miou']:.3f}mean IoU" in shown and f"{scores['boundary_f1']:.3f}boundary F1" in shown
    # Of the 4000 pixels of class 0, 1000 are taken for class 1, whose 4000 are all found.
    assert "50.0 %75.0 %100.0 %0.750" in shown and "50.0 %100.0 %80.0 %0.800" in shown
    assert "SPEC" not in shown and "7525" in shown and "0100" in shown


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_curves_of_the_run_are_drawn_if_there_are_any(epochs, tmp_path, maps):
    for content in ("", "{}", '{"history": {"loss": 3}}'):
        (tmp_path / "history.json").write_text(content)
        assert "The run" not in write(tmp_path, maps)
    falling = list(np.linspace(1, 0.5, epochs))
    history = {"epoch": [1], **dict.fromkeys(("loss", "val_loss", "miou", "val_miou"), falling)}
    (tmp_path / "history.json").write_text(json.dumps({"history": history}))
    text = write(tmp_path, maps)
    assert text.count("<polyline") == 4 and f"loss over {epochs} epochs: training from 1.000 to" in text
    heights = [float(y) for y in re.findall(r'fill="#0072b2">validation|y="([\d.]+)" fill="#', text) if y]
    assert all(0 < y < 260 for y in heights)


def test_a_list_of_250_classes_and_one_picture(tmp_path, maps):
    many = LabelSpec("many", tuple(f"class {i}" for i in range(250)), ((1, 2, 3),) * 250)
    one = tuple(each[:1] for each in maps)
    scores, shown = runs.score_labels(one[1], one[2], 250), ([(one[0][0], one[1][0])], one[2])
    text = runs.write_report(tmp_path, tmp_path / "m.keras", ORIGIN, many, *shown, scores).read_text()
    assert "all 1." in text and text.count("absent") == 248
