"""Every command of docs/your_own_data.md, one after the other, on a stand-in for the reader's folder.

The stand-in has the mistakes that the text tells of: masks of 0 and 255, some with a soft edge, some of
another size than their picture. The one change to what is printed is a shorter training: `--epochs 1` for the
number of epochs there, so what is tested is that the commands fit together, and not how good the network is.
"""

import re
import shlex
import subprocess

import numpy as np
import pytest
from helpers import ROOT
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from segcourse import tflite
from segcourse.cli import app
from segcourse.datasets.folder import Folder

TEXT = (ROOT / "docs/your_own_data.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    for line in block.replace("\\\n", " ").splitlines()
]  # fmt: skip
COUNT = 12


def stand_in(folder):
    """Photographs of different sizes, light figures on a dark ground, with black-and-white masks."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for index in range(COUNT):
        height, width = 80 + 16 * (index % 3), 96 + 8 * (index % 2)
        mask = Image.new("L", (width, height))
        left = int(rng.integers(10, width - 50))
        ImageDraw.Draw(mask).ellipse((left, 12, left + 40, height), fill=255)
        noise = rng.integers(0, 60, (height, width, 3))
        image = np.uint8(noise + 60 + (np.array(mask)[..., None] > 0) * (90, 60, 40))
        Image.fromarray(image).save(folder / "images" / f"{index:03}.jpg")
        if index % 2:
            mask = mask.resize((width // 2, height // 2))
        if index % 4:
            mask = mask.resize(mask.size).reduce(2).resize(mask.size, Image.Resampling.BILINEAR)
        mask.save(folder / "masks" / f"{index:03}.png")


def test_there_are_at_most_eight_commands_and_no_python():
    assert 5 <= len(COMMANDS) <= 8
    assert all(command.split()[0] in ("printf", "segcourse") for command in COMMANDS)
    assert "python" not in TEXT.lower()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder after all commands, and what each of them said, by its first words."""
    place = tmp_path_factory.mktemp("reader")
    stand_in(place / "people")
    said = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("COLUMNS", "200")
        patch.setenv("SEGCOURSE_DATA", str(place / "cache"))
        for command in COMMANDS:
            words = shlex.split(re.sub(r"--epochs \d+", "--epochs 1", command))
            if words[0] != "segcourse":
                subprocess.run(command, shell=True, check=True)
                continue
            result = CliRunner().invoke(app, words[1:])
            expected = 1 if words[1:3] == ["data", "check"] else 0  # it finds the mistakes
            assert result.exit_code == expected, f"{command}\n{result.output}"
            said[command] = " ".join(result.output.split())
    return place, said


def of(said, start):
    return [output for command, output in said.items() if command.startswith(f"segcourse {start}")]


def test_the_check_says_what_the_text_says(done):
    _, said = done
    (found,) = of(said, "data check")
    assert "masks are 0 " in found and "and 255" in found
    assert "resizes it by nearest neighbour" in found
    assert "A mended copy: segcourse data fix people --out people-fixed" in found
    (fixed,) = of(said, "data fix")
    assert f"0..127 -> 0, 128..255 -> 1: {COUNT} masks" in fixed and "nearest neighbour: 6 masks" in fixed


def test_the_masks_are_right_then(done):
    place, _ = done
    folder = Folder(place / "people-fixed")
    for image, mask in folder.pairs("all"):
        pixels, labels = folder.read((image, mask))
        assert set(np.unique(labels)) == {0, 1}
        assert pixels[labels == 1].mean() > pixels[labels == 0].mean() + 50


def test_the_file_for_the_phone_has_the_classes_and_labels_every_picture(done):
    place, said = done
    (file,) = place.glob("*.tflite")
    assert tflite.metadata(file).classes.classes == ("background", "person")
    assert list(place.glob("runs/*/report/report.html"))
    for command, output in said.items():
        if command.startswith("segcourse predict"):
            out = shlex.split(command)[shlex.split(command).index("--out") + 1]
            assert f"{COUNT} of {COUNT} images labelled" in output
            for path in (place / out / "labels").iterdir():
                ids = np.array(Image.open(path))
                assert ids.max() <= 1
                assert ids.shape == Image.open(place / "people/images" / f"{path.stem}.jpg").size[::-1]
