"""The choice of a learning rate on validation data, by trial trainings."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from segcourse import training
from segcourse.studies.core import store


def rate_scores(
    rates: Iterable[float], folder: Path, train: Callable[[float, Path], Mapping]
) -> dict[str, float]:
    """Mean IoU on val after a trial training with each learning rate: dict rate -> score, 0 if it diverged.

    What is known already is read from `folder`, and every new score is written there at once.

    Args:
        rates: the grid.
        folder: for the scores, and for what an interrupted training keeps.
        train: function (rate, its folder) -> the training's history, with "val_miou".
    """
    path = folder / "rates.json"
    scores = json.loads(path.read_text()) if path.exists() else {}
    for rate in rates:
        if str(rate) not in scores:
            try:
                scores[str(rate)] = train(rate, folder / f"rate-{rate}")["val_miou"][-1]
            except training.TrainingDiverged:
                scores[str(rate)] = 0.0
            folder.mkdir(parents=True, exist_ok=True)
            store.write(path, scores)
    return scores


def best_rate(scores: Mapping[str, float]) -> float:
    """The learning rate with the highest score."""
    return float(max(scores, key=scores.get))
