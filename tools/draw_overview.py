"""Draw docs/overview.png, the README's picture: ToyCam streets, each fading from the image to its labels.

python tools/draw_overview.py
"""

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch
from PIL import Image

from segcourse.datasets import CAMVID, toycam

TARGET = Path(__file__).resolve().parents[1] / "docs" / "overview.png"
SCENES = (22, 13, 9, 38, 15, 50)
SEED = 0
SIZE = (216, 288)
COLUMNS = 3
LIMIT = 300_000


def wipe(scene):
    """The image on the left, the colours of the labels on the right, a slanted white line between them."""
    rows, columns = np.indices(scene.labels.shape)
    edge = columns - scene.labels.shape[1] * 0.54 + 0.45 * (rows - scene.labels.shape[0] / 2)
    picture = np.where((edge < 0)[..., None], scene.image, CAMVID.colorize(scene.labels))
    picture[np.abs(edge) < 1.5] = 255
    return picture


def draw():
    """The figure as a PIL image."""
    rows = len(SCENES) // COLUMNS
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10})
    width = COLUMNS * SIZE[1] / 100 + 0.15
    figure = plt.figure(figsize=(width, rows * SIZE[0] / 100 + 0.72), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    for axis, index in zip(figure.subplots(rows, COLUMNS).flat, SCENES, strict=True):
        axis.imshow(wipe(toycam.scene(SEED, index, SIZE)), interpolation="none")
        axis.axis("off")
    handles = [
        Patch(facecolor=np.array(color) / 255, edgecolor="#444444", linewidth=0.6, label=name)
        for name, color in zip(CAMVID.classes, CAMVID.palette, strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, handlelength=1.6)
    memory = io.BytesIO()
    figure.savefig(memory, dpi=112, facecolor="white")
    plt.close(figure)
    return Image.open(memory).convert("RGB")


def main():
    TARGET.parent.mkdir(exist_ok=True)
    draw().quantize(192, dither=Image.Dither.NONE).save(TARGET, optimize=True)
    size = TARGET.stat().st_size
    if size > LIMIT:
        raise SystemExit(
            f"{TARGET.name} has {size:,} bytes; it may have {LIMIT:,}. Draw fewer or smaller scenes."
        )
    print(f"{TARGET.name}: {size:,} bytes")


if __name__ == "__main__":
    main()
