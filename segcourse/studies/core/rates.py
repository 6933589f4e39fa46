"""The choice of a learning rate on validation data, by trial trainings."""

import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from segcourse import training
from segcourse.studies.core import store


def climb(
    rates: Iterable[float], most: int, folder: Path, train: Callable[[float, Path], Mapping]
) -> dict[str, float]:
    """`rate_scores`, on a grid that grows by factors of about 3 until its best rate lies inside.

    It goes on at the end at which the best rate lies: 0.003 and 0.01 come after 0.001, 0.0003 and 0.0001
    before it. The result depends on the scores alone, not on where an interrupted run went on.

    Args:
        rates: the grid to begin with.
        most: how many rates are tried at most; with that many, the best may still lie at an end.
        folder, train: as for `rate_scores`.
    """
    tried = sorted(rates)
    while True:
        known = rate_scores(tried, folder, train)
        found = {str(rate): known[str(rate)] for rate in tried}
        if at_edge(found) == 0 or len(tried) >= most:
            return found
        tried = sorted([*tried, _beyond(best_rate(found), at_edge(found))])


def _beyond(rate, direction):
    """The next of the rates 1, 3, 10, 30, ... (times a power of ten), up (1) or down (-1)."""
    place = round(2 * math.log10(rate)) + direction
    return float(f"{(1, 3)[place % 2]}e{place // 2}")


def at_edge(scores: Mapping[str, float]) -> int:
    """Where the best rate lies in the grid: -1 if it is the smallest, 1 if it is the largest, else 0."""
    best, rates = best_rate(scores), [float(rate) for rate in scores]
    return -1 if best == min(rates) else int(best == max(rates))


def rate_scores(
    rates: Iterable[float], folder: Path, train: Callable[[float, Path], Mapping]
) -> dict[str, float]:
    """Mean IoU on val after a trial training with each learning rate: dict rate -> score, 0 if it diverged.

    What is known already is read from `folder`, and every new score is written there at once; what the
    training itself has kept is deleted then.

    Args:
        rates: the grid.
        folder: for the scores, and for what an interrupted training keeps.
        train: function (rate, its folder) -> the training's history, with "val_miou".
    """
    path = folder / "rates.json"
    scores = json.loads(path.read_text()) if path.exists() else {}
    for rate in rates:
        if str(rate) not in scores:
            place = folder / f"rate-{rate}"
            try:
                scores[str(rate)] = train(rate, place)["val_miou"][-1]
            except training.TrainingDiverged:
                scores[str(rate)] = 0.0
            folder.mkdir(parents=True, exist_ok=True)
            store.write(path, scores)
            shutil.rmtree(place, ignore_errors=True)
    return scores


def best_rate(scores: Mapping[str, float]) -> float:
    """The learning rate with the highest score."""
    return float(max(scores, key=scores.get))
