"""What studies share: learning rates found by climbing, and reading results of the form VARIANT-SEED."""

import json

import keras
import numpy as np
import pytest

from segcourse import training
from segcourse.datasets import distances
from segcourse.studies.core import coordinates, fitting, rates, reading, scoring

# Climbing


class Hill:
    """Trainings whose score is the higher, the closer the rate is to the top; it notes them."""

    def __init__(self, top, diverges_from=np.inf):
        self.top, self.diverges_from, self.tried = top, diverges_from, []

    def __call__(self, rate, folder):
        self.tried.append(rate)
        folder.mkdir(parents=True)
        (folder / "state.npz").write_bytes(b"large")
        if rate >= self.diverges_from:
            raise training.TrainingDiverged
        return {"val_miou": [0.9, 1 - abs(np.log(rate / self.top)) / 20]}


GRID = [3e-4, 1e-3, 3e-3]


@pytest.mark.parametrize(
    ("top", "tried"),
    [
        (1e-3, GRID),
        (2.5e-3, [*GRID, 1e-2]),
        (3e-2, [*GRID, 1e-2, 3e-2, 1e-1]),
        (1e-5, [*GRID, 1e-4, 3e-5, 1e-5, 3e-6]),
    ],
)
def test_climbing_ends_when_the_best_rate_lies_inside(top, tried, tmp_path):
    hill = Hill(top)
    found = rates.climb(GRID, 9, tmp_path / "new", hill)
    assert hill.tried == tried, "each rate once, in factors of about 3"
    assert list(found) == [str(rate) for rate in sorted(tried)]
    assert rates.at_edge(found) == 0 and max(abs(np.log(rates.best_rate(found) / top)), 1e-9) < np.log(1.8)


def test_climbing_is_bounded_and_says_where_it_ended(tmp_path):
    up, down = (rates.climb(GRID, 5, tmp_path / str(top), Hill(top)) for top in (1.0, 1e-9))
    assert list(up)[-1] == "0.03" and rates.at_edge(up) == 1 and len(up) == 5
    assert list(down)[0] == "3e-05" and rates.at_edge(down) == -1 and len(down) == 5
    assert rates.climb(GRID[:1], 1, tmp_path / "one", Hill(1.0)) == {"0.0003": pytest.approx(0.594, abs=1e-3)}


def test_a_rate_at_which_the_training_diverges_bounds_the_grid(tmp_path):
    hill = Hill(1.0, diverges_from=1e-2)
    found = rates.climb(GRID, 9, tmp_path / "new", hill)
    assert found["0.01"] == 0.0 and rates.best_rate(found) == 3e-3 and hill.tried == [*GRID, 1e-2]


@pytest.mark.parametrize("top", [(1.0, 1.0), (20.0, 0.1), (0.02, 3.0)])
def test_coordinates_climb_until_the_best_lies_inside(top):
    def score(a, b):  # a ridge that runs across: both have to move
        x, y = np.log(a / top[0]), np.log(b / top[1])
        return -(x**2) - y**2 - x * y

    found = coordinates.climb({"a": 1.0, "b": 1.0}, 2.0, 200, score)
    best = max(found, key=lambda row: row["miou"])
    assert best["a"] == pytest.approx(top[0], rel=0.6) and best["b"] == pytest.approx(top[1], rel=0.6)
    assert coordinates.is_inside(found, 2.0)
    points = [(row["a"], row["b"]) for row in found]
    assert points[0] == (1.0, 1.0) and len(set(points)) == len(points), "nothing is tried twice"
    assert all(row["miou"] == pytest.approx(score(row["a"], row["b"]), abs=1e-2) for row in found)


def test_a_climb_of_coordinates_is_bounded_and_says_where_it_ended():
    found = coordinates.climb({"a": 1.0, "b": 1.0}, 2.0, 6, lambda a, b: a)
    assert len(found) == 6 and not coordinates.is_inside(found, 2.0)
    assert len(coordinates.climb({"a": 1.0}, 2.0, 1, lambda a: a)) == 1


def test_an_interrupted_climb_goes_on_and_ends_alike(tmp_path):
    whole = rates.climb(GRID, 9, tmp_path / "whole", Hill(3e-2))

    def dies(rate, folder):
        if rate == 1e-2:
            raise KeyboardInterrupt
        return Hill(3e-2)(rate, folder)

    with pytest.raises(KeyboardInterrupt):
        rates.climb(GRID, 9, tmp_path / "cut", dies)
    hill = Hill(3e-2)
    assert rates.climb(GRID, 9, tmp_path / "cut", hill) == whole
    assert hill.tried == [1e-2, 3e-2, 1e-1], "what is known is not tried again"
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["rates.json"], "only scores are kept"
    assert rates.climb(GRID, 4, tmp_path / "cut", None) == dict(list(whole.items())[:4]), "known, not counted"


# Training in rounds


def test_a_later_stage_goes_on_with_the_batches_and_the_steps(monkeypatch, tmp_path):
    images = np.arange(20, dtype="uint8").reshape(20, 1, 1, 1).repeat(3, -1) * np.ones((1, 4, 4, 1), "uint8")
    data = {"train": (images, images[..., 0] % 2), "val": (images[:2], images[:2, ..., 0] % 2)}
    settings = {"batch": 2, "augment": {"scale": [1.0, 1.0]}}
    seen = []

    def fit(model, batches, epochs, **options):
        seen.append([[np.array(x)[:, 0, 0, 0].tolist() for x, _ in batches(e)] for e in range(epochs)])
        assert options["folder"] == tmp_path and options["monitor"] == "epoch"
        return {"epoch": list(range(1, epochs + 1)), "val_miou": [0.5] * epochs}

    monkeypatch.setattr(training, "fit", fit)
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 1)(image))
    given = (model, keras.optimizers.Adam(), data, settings, 1)
    whole = fitting.rounds(*given, 10, 4, tmp_path)
    rest = fitting.rounds(*given, 6, 4, tmp_path, first=4, class_weights=[1.0, 3.0])
    assert whole["step"] == [4, 8, 10] and rest["step"] == [8, 10]
    assert [len(turn) for turn in seen[0]] == [4, 4, 2] and seen[1] == seen[0][1:]
    assert model.loss.class_weights == [1.0, 3.0]


# Rings


def test_distances_to_the_outline_by_hand():
    labels = np.array([[[0, 0, 0, 1]], [[2, 2, 2, 2]]])
    found = distances.to_outline(labels)
    np.testing.assert_array_equal(found[0], [[3, 2, 1, 1]])
    assert np.isinf(found[1]).all()


def test_distances_to_the_outline_by_brute_force():
    labels = np.random.default_rng(0).integers(0, 2, (1, 5, 6)).repeat(2, 1).repeat(2, 2)
    labels[0, 8:] = 255
    places = np.argwhere(labels[0] >= 0)
    for place, found in zip(places, distances.to_outline(labels).ravel(), strict=True):
        others = places[labels[0][tuple(places.T)] != labels[0][tuple(place)]]
        assert found == pytest.approx(np.sqrt(((others - place) ** 2).sum(1).min()))


def test_the_share_that_is_right_by_rings():
    labels = np.zeros((1, 1, 12), int)
    labels[..., 6:] = 1
    labels[..., 11] = 255
    predictions = np.roll(labels, 1, axis=2)  # wrong at the outline and at the left side
    # Distances: 6 5 4 3 2 1 | 1 2 3 2 1 and a void pixel; columns 0 and 6 are wrong.
    assert scoring.right_in_rings(labels, predictions, (1, 2)) == [2 / 3, 1.0, 4 / 5]
    assert np.isnan(scoring.right_in_rings(labels, predictions, (1, 50))[-1])


# Reading


def part(miou, rate=1e-3):
    """A part of a result: what studies whose parts are VARIANT-SEED store."""
    return {
        "learning_rate": rate,
        "rates": {"0.0003": 0.1, "0.001": 0.2 if rate == 1e-3 else 0.1, "0.003": 0.15},
        "history": {"step": [10, 20], "loss": [2.0, 1.0 + miou], "val_miou": [0.1, miou]},
        "test": {"miou": miou, "boundary_f1": miou / 2, "iou": [miou, 1 - miou, None]},
    }


@pytest.fixture
def result():
    parts = {f"a-{s}": part(0.2 + 0.1 * int(s)) for s in reading.SEEDS}
    parts |= {f"b-long-{s}": part(0.4 + 0.1 * int(s) ** 2, 3e-3) for s in reading.SEEDS} | {"c-1": part(0.9)}
    return json.loads(json.dumps({"results": parts}))


NAMES = ("c", "a", "b-long", "d")


def test_a_variant_counts_when_all_its_seeds_are_stored(result):
    assert reading.parts(("x", "y"), ("1", "2")) == ("x-1", "y-1", "x-2", "y-2")
    assert reading.stored(result, NAMES) == ("a", "b-long")
    assert reading.per_seed(result, NAMES, "test", "miou")["a"] == pytest.approx([0.3, 0.4, 0.5])
    assert list(reading.per_seed(result, NAMES, "learning_rate")) == ["a", "b-long"]


def test_tables_and_means(result):
    rows = reading.table(result, NAMES, ("miou", "boundary_f1"), "test")
    assert rows["a"]["miou"] == pytest.approx((40, 10)) and rows["a"]["boundary_f1"] == pytest.approx((20, 5))
    np.testing.assert_allclose(reading.means(result, NAMES, "test", "iou")["a"], [0.4, 0.6, np.nan])
    lines = reading.table_text(rows)
    assert lines[0].split() == ["percent", "miou", "boundary_f1"]
    assert lines[1].split() == ["a", "40.0", "±", "10.0", "20.0", "±", "5.0"]
    assert len({len(line) for line in lines}) == 1, "the columns stand below each other"
    assert reading.table_text(reading.table({"results": {}}, NAMES, ("miou",), "test")) == [
        "nothing is stored yet"
    ]


def test_paired_differences(result):
    found = reading.gains(result, [("b-long", "a"), ("c", "a"), ("a", "b-long")], "test", "miou")
    assert list(found) == [("b-long", "a"), ("a", "b-long")]
    np.testing.assert_allclose(found["b-long", "a"], [20, 40, 80])
    assert reading.gains_text(found, "mIoU")[1] == "a minus b-long, mIoU, seed by seed: -20.0, -40.0, -80.0"


def test_curves_and_learning_rates(result):
    found = reading.curves(result, "a", "loss")
    assert found["step"].tolist() == [10, 20]
    np.testing.assert_allclose(found["loss"][:, 1], [1.3, 1.4, 1.5])
    result["results"]["b-long-1"]["rates"]["0.003"] = 0.3
    chosen = reading.learning_rates(result, NAMES)
    assert chosen == {"a": (1e-3, False), "b-long": (3e-3, True)}
    assert reading.rates_text(chosen)[1] == "learning rate of b-long: 0.003, the edge of the grid"
