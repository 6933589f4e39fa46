"""segcourse.plotting: what is drawn, the alt texts, one PNG in the notebook, and errors that help."""

import base64
import io
from types import SimpleNamespace

import IPython
import matplotlib
import nbclient
import nbformat
import numpy as np
import pytest
from helpers import run_python
from PIL import Image

from segcourse import plotting
from segcourse.datasets import labels as specs
from segcourse.plotting import figures

SPEC = specs.LabelSpec("pets", ("floor", "cat", "dog"), ((90, 90, 90), (200, 0, 0), (0, 0, 200)))


@pytest.fixture
def shown(monkeypatch):
    """What would be displayed: the figure and its alt text."""
    seen = SimpleNamespace(fig=None, alt="")

    def keep(fig, alt, dpi=100):
        plotting.png(fig)
        seen.fig, seen.alt = fig, alt

    monkeypatch.setattr(figures, "show", keep)
    return seen


@pytest.fixture
def scene():
    images = np.random.default_rng(0).integers(0, 255, (2, 12, 16, 3)).astype(np.uint8)
    labels = np.zeros((2, 12, 16), np.uint8)
    labels[:, 3:6] = 1
    labels[:, :1] = plotting.VOID
    predictions = labels.copy()
    predictions[0, 3, :8] = 0
    predictions[:, :1] = 1  # on void: no error
    return images, labels, predictions


def picture(axis):
    return np.asarray(axis.images[0].get_array())


def legend_texts(fig):
    return [text.get_text() for text in fig.legends[0].get_texts()]


def test_gallery_draws_truth_prediction_and_errors(shown, scene):
    images, labels, predictions = scene
    plotting.gallery(images, labels, predictions, SPEC)
    axes = np.array(shown.fig.axes).reshape(2, 4)
    assert [axis.get_title() for axis in axes[0]] == ["image", "truth", "prediction", "errors"]
    np.testing.assert_array_equal(picture(axes[1, 0]), images[1])
    np.testing.assert_array_equal(picture(axes[0, 1]), SPEC.colorize(labels[0]))
    np.testing.assert_array_equal(picture(axes[0, 2]), SPEC.colorize(predictions[0]))
    wrong = (picture(axes[0, 3]) == plotting.WRONG).all(-1)
    expected = np.zeros((12, 16), bool)
    expected[3, :8] = True
    np.testing.assert_array_equal(wrong, expected)
    # 8 of the 11 * 16 labelled pixels, and none in the second row
    assert [axis.get_xlabel() for axis in axes[:, 3]] == ["4.5 % wrong", "0.0 % wrong"]
    assert legend_texts(shown.fig) == ["floor", "cat", "void", "wrong pixel"]
    assert "2.3 % of the labelled pixels are wrong" in shown.alt
    assert "floor 67 %, cat 25 %, void 8 %" in shown.alt


def test_wrong_pixels_are_darker_than_any_right_one(shown, scene):
    images, labels, predictions = scene
    images[:] = 0
    plotting.gallery(images, labels, predictions, SPEC)
    errors = picture(shown.fig.axes[3]).astype(float).mean(-1)
    assert errors[3, 0] + 60 < errors[5].min()


def test_gallery_takes_one_image_no_labels_and_several_models(shown, scene):
    images, labels, predictions = scene
    plotting.gallery(images[0])
    assert len(shown.fig.axes) == 1 and not shown.fig.legends
    plotting.gallery(images, labels, {"A": predictions, "B": labels}, SPEC, rows=1, alt="mine")
    assert [axis.get_title() for axis in shown.fig.axes] == ["image", "truth", "A", "B"]
    assert shown.alt == "mine"
    plotting.gallery(images / 1.0, predictions=predictions, spec=SPEC)
    assert len(shown.fig.axes) == 4


def test_overlay_and_blend(shown, scene):
    images, labels, _ = scene
    mixed = plotting.blend(images[0], labels[0], SPEC, alpha=0.5)
    assert mixed.dtype == np.uint8
    np.testing.assert_array_equal(mixed[0], images[0, 0])
    np.testing.assert_allclose(mixed[3], 0.5 * images[0, 3] + 0.5 * np.array(SPEC.palette[1]), atol=0.51)
    plotting.overlay(images, labels, SPEC, alpha=1.0)
    np.testing.assert_array_equal(picture(shown.fig.axes[1])[4], SPEC.colorize(labels[1, 4]))
    assert legend_texts(shown.fig) == ["floor", "cat"]
    assert "cat 25 %" in shown.alt


def test_label_maps_stand_beside_images_with_the_classes_that_occur(shown, scene):
    images, labels, predictions = scene
    pictures = {"image": images[0], "truth": labels[0], "A": predictions[0].astype(int), "B": labels[1]}
    plotting.label_maps(pictures, SPEC, "four pictures", rows=2)
    axes = shown.fig.axes
    assert [axis.get_title() for axis in axes] == list(pictures) and shown.alt == "four pictures"
    assert axes[2].get_subplotspec().rowspan.start == 1  # the second row
    np.testing.assert_array_equal(picture(axes[0]), images[0])
    np.testing.assert_array_equal(picture(axes[2]), SPEC.colorize(predictions[0]))
    assert legend_texts(shown.fig) == ["floor", "cat", "void"]
    with pytest.raises(ValueError, match="zip"):
        plotting.label_maps(pictures, SPEC, "three rows of four pictures", rows=3)


def test_legend_names_every_class(shown):
    plotting.legend("camvid")
    texts = legend_texts(shown.fig)
    assert texts[0] == "0  sky" and texts[-1] == "255  void" and len(texts) == 12
    assert "10 bicyclist" in shown.alt


def history(offset=0.0, epochs=4):
    falling = [1.0 - 0.1 * e + offset for e in range(epochs)]
    return {
        "epoch": list(range(1, epochs + 1)),
        "loss": falling,
        "val_loss": [x + 0.5 for x in falling],
        "val_miou": [0.1 * e + offset for e in range(epochs)],
        "lr": [0.1] * epochs,
        "seconds": [1.0] * epochs,
    }


def test_curves_of_one_run(shown):
    plotting.curves(history())
    loss, miou = shown.fig.axes
    assert [axis.get_title() for axis in (loss, miou)] == ["loss", "mean IoU"]
    train, validation = loss.lines
    assert (train.get_linestyle(), validation.get_linestyle()) == ("--", "-")
    assert train.get_color() != validation.get_color()
    np.testing.assert_allclose(validation.get_ydata(), history()["val_loss"])
    assert len(miou.lines) == 1
    assert legend_texts(shown.fig) == ["training", "validation"]
    assert "val_miou from 0.000 to 0.300" in shown.alt


def test_curves_of_seeds_are_their_mean_and_extremes(shown):
    plotting.curves({"A": [history(0), history(0.2), history(0.1)], "B": history(0.3)}, keys=["miou"])
    (axis,) = shown.fig.axes
    first, second = axis.lines
    np.testing.assert_allclose(first.get_ydata(), np.array(history()["val_miou"]) + 0.1)
    assert first.get_marker() != second.get_marker()
    (band,) = axis.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(0.0) and heights.max() == pytest.approx(0.5)
    assert legend_texts(shown.fig) == ["A", "B", "validation", "smallest to largest of 3 seeds"]


def test_class_bars_show_absent_classes_as_absent(shown):
    plotting.class_bars({"A": [0.5, np.nan, 0.25], "B": [[0.2, np.nan, 0.4], [0.4, np.nan, 0.6]]}, SPEC)
    (axis,) = shown.fig.axes
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["floor", "cat", "dog"]
    assert [bar.get_width() for bar in axis.containers[0]] == [0.5, 0.25]
    np.testing.assert_allclose([bar.get_width() for bar in axis.containers[1]], [0.3, 0.5])
    assert [t.get_text() for t in axis.texts] == ["0.50", "absent", "0.25", "0.30", "absent", "0.50"]
    assert axis.containers[0][0].get_hatch() != axis.containers[1][0].get_hatch()
    assert legend_texts(shown.fig) == ["A (mean IoU 0.375)", "B (mean IoU 0.400)"]
    assert "A: mean IoU 0.375 (floor 0.50, cat absent, dog 0.25)" in shown.alt


def test_confusion_is_normalized_by_row(shown):
    plotting.confusion([[30, 10, 0], [0, 0, 0], [1, 0, 1]], SPEC)
    axis = shown.fig.axes[0]
    assert [text.get_text() for text in axis.texts] == ["75", "25", "0", "–", "–", "–", "50", "0", "50"]
    assert "dog taken for floor 50 %, floor taken for cat 25 %" in shown.alt
    assert "floor 75, dog 50" in shown.alt


ONES = np.ones((2, 8, 8), np.uint8)
RGB = np.full((2, 8, 8, 3), 9, np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plotting.gallery(RGB[..., 0], ONES, ONES, SPEC), r"images must be \[N,H,W,3\]"),
        (lambda: plotting.gallery(RGB / 255, ONES, ONES, SPEC), r"RGB in 0..255"),
        (lambda: plotting.gallery(RGB, ONES[:1], ONES, SPEC), "truth .* do not fit"),
        (lambda: plotting.gallery(RGB, ONES, np.zeros((2, 8, 8, 3)), SPEC), "argmax"),
        (lambda: plotting.gallery(RGB, ONES, ONES / 2, SPEC), "integer class ids"),
        (lambda: plotting.gallery(RGB, ONES, ONES), "LabelSpec"),
        (lambda: plotting.gallery(RGB, ONES, ONES, "cityscape"), "cityscape"),
        (lambda: plotting.overlay(RGB, ONES, SPEC, alpha=2), "alpha"),
        (lambda: plotting.blend(RGB[0], ONES, SPEC), "do not fit"),
        (lambda: plotting.curves([]), "history"),
        (lambda: plotting.curves({"A": 3}), "'A'"),
        (lambda: plotting.curves({"A": []}), "'A'"),
        (lambda: plotting.curves(history(), keys=["mIoU"]), "choose from.*val_miou"),
        (lambda: plotting.curves({"A": [history(), history(epochs=3)]}), "differ in length"),
        (lambda: plotting.curves({"epoch": [1], "lr": [1]}), "nothing to draw"),
        (lambda: plotting.class_bars({"A": [0.5, 0.2]}, SPEC), "needs 3 values"),
        (lambda: plotting.class_bars({"A": [50, 20, 1]}, SPEC), "divide percent"),
        (lambda: plotting.class_bars({}, SPEC), "at least one"),
        (lambda: plotting.confusion(np.ones((2, 2)), SPEC), r"needs \(3, 3\)"),
        (lambda: plotting.legend(7), "LabelSpec"),
    ],
)
def test_bad_input_is_explained(shown, call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_alt_text_is_not_optional():
    with pytest.raises(ValueError, match="alt text"):
        plotting.show(matplotlib.figure.Figure(), " ")


def test_show_displays_one_png_with_alt_and_closes_the_figure(monkeypatch):
    import matplotlib.pyplot as plt

    seen = []
    plt.switch_backend("agg")
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(IPython.display, "display", lambda data, **options: seen.append((data, options)))
    fig = plt.figure(figsize=(3, 2))
    fig.add_subplot().plot([0, 1])
    assert plotting.show(fig, "a line from 0 to 1") is None
    assert not plt.fignum_exists(fig.number)
    ((data, options),) = seen
    assert options == {"raw": True, "metadata": {"image/png": {"alt": "a line from 0 to 1"}}}
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.format == "PNG" and image.size == (300, 200)
    assert data["text/plain"] == "a line from 0 to 1"


def test_a_notebook_stores_one_png_with_its_alt_text(tmp_path):
    code = (
        "import numpy as np\nfrom segcourse import plotting\n"
        "plotting.class_bars({'A': np.linspace(0, 1, 11)}, 'camvid')"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=80, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "display_data"
    assert "mean IoU 0.500" in output.metadata["image/png"]["alt"]


def test_the_palette_saves_bytes_and_keeps_the_class_colors(scene):
    images, labels, _ = scene
    fig = matplotlib.figure.Figure(figsize=(4, 3))
    axis = fig.add_axes((0, 0, 1, 1))
    axis.imshow(plotting.blend(images[0], labels[0], SPEC), interpolation="bicubic")
    full = io.BytesIO()
    fig.savefig(full, format="png", dpi=100)
    small = plotting.png(fig)
    assert len(small) < 0.6 * len(full.getvalue())
    difference = np.asarray(Image.open(full).convert("RGB"), int) - np.asarray(
        Image.open(io.BytesIO(small)).convert("RGB")
    )
    assert np.abs(difference).mean() < 6


def test_import_and_drawing_leave_matplotlib_as_it_was():
    code = (
        "import os; os.environ['MPLBACKEND'] = 'agg'  # else reading it imports pyplot\n"
        "import matplotlib, sys; before = dict(matplotlib.rcParams)\n"
        "from segcourse import plotting\n"
        "plotting.legend('camvid')\n"
        "assert dict(matplotlib.rcParams) == before, 'rcParams changed'\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot chooses a backend'\n"
        "with plotting.style(): assert matplotlib.rcParams['axes.spines.top'] is False\n"
        "assert matplotlib.rcParams['axes.spines.top'] is True\n"
    )
    done = run_python("-c", code, timeout=80)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
