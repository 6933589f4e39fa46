"""Reading a stored result whose parts are VARIANT-SEED, whichever of them are there.

A variant counts as soon as all its seeds are stored. Each part has the `learning_rate` that was chosen, the
`rates` that were tried, the `history` by round, and scores under a key such as "test".
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segcourse.studies.core import rates, scoring

SEEDS = ("1", "2", "3")


def parts(variants: Sequence[str], seeds: Sequence[str] = SEEDS) -> tuple[str, ...]:
    """The names of all parts, seed after seed, so that an interrupted study has whole tables early."""
    return tuple(f"{variant}-{seed}" for seed in seeds for variant in variants)


def stored(result: Mapping, variants: Sequence[str]) -> tuple[str, ...]:
    """Those of the variants of which all seeds are stored."""
    return tuple(v for v in variants if all(f"{v}-{seed}" in result["results"] for seed in SEEDS))


def of(result: Mapping, variant: str) -> list[Mapping]:
    """The parts of a variant, seed by seed."""
    return [result["results"][f"{variant}-{seed}"] for seed in SEEDS]


def per_seed(result: Mapping, variants: Sequence[str], *keys: str) -> dict[str, list]:
    """What each part has under `keys`, one inside the other: dict variant -> list over the seeds."""
    return {v: [_inside(part, keys) for part in of(result, v)] for v in stored(result, variants)}


def _inside(part: Mapping, keys: Sequence[str]) -> Any:
    for key in keys:
        part = part[key]
    return part


def table(
    result: Mapping, variants: Sequence[str], scores: Sequence[str], *keys: str
) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation of the scores under `keys`, in percent: by variant, then by score."""
    return scoring.table({score: per_seed(result, variants, *keys, score) for score in scores})


def means(result: Mapping, variants: Sequence[str], *keys: str) -> dict[str, np.ndarray]:
    """A list that each part has under `keys`, such as the IoU by class, averaged over the seeds."""
    found = per_seed(result, variants, *keys)
    return {v: np.array(rows, float).mean(0) for v, rows in found.items()}


def gains(result: Mapping, pairs: Sequence[tuple[str, str]], *keys: str) -> dict[tuple[str, str], np.ndarray]:
    """What the first variant of each pair has over the second, in percent: dict pair -> [seeds].

    Seeds share data, batches and first weights, so that differences vary less than the scores. Pairs of
    which a variant is not stored are left out.
    """
    found = per_seed(result, list(dict.fromkeys(v for pair in pairs for v in pair)), *keys)
    values = {v: 100 * np.array(numbers, float) for v, numbers in found.items()}
    known = [pair for pair in pairs if set(pair) <= set(values)]
    return {(one, other): values[one] - values[other] for one, other in known}


def curves(result: Mapping, variant: str, *keys: str) -> dict[str, np.ndarray]:
    """Columns of the histories of a variant: "step" -> [rounds], each key -> float [seeds, rounds]."""
    histories = [part["history"] for part in of(result, variant)]
    columns = {key: np.array([history[key] for history in histories], float) for key in keys}
    return {"step": np.array(histories[0]["step"]), **columns}


def learning_rates(result: Mapping, variants: Sequence[str]) -> dict[str, tuple[float, bool]]:
    """The chosen learning rates: dict variant -> (rate, whether it lies at the edge of what was tried)."""
    firsts = {v: of(result, v)[0] for v in stored(result, variants)}
    return {v: (part["learning_rate"], rates.at_edge(part["rates"]) != 0) for v, part in firsts.items()}


# In words


def table_text(rows: Mapping[str, Mapping[str, tuple[float, float]]], first: str = "percent") -> list[str]:
    """A `table` as lines of text, the names of the scores above."""
    if not rows:
        return ["nothing is stored yet"]
    wide = max(map(len, [first, *rows])) + 2
    lines = [first.ljust(wide) + "".join(f"{score:>16s}" for score in next(iter(rows.values())))]
    for name, row in rows.items():
        cells = "".join(f"{mean:9.1f} ± {spread:4.1f}" for mean, spread in row.values())
        lines.append(name.ljust(wide) + cells)
    return lines


def gains_text(found: Mapping[tuple[str, str], np.ndarray], what: str) -> list[str]:
    """`gains` as lines of text, one a pair; `what` names the score."""
    return [
        f"{one} minus {other}, {what}, seed by seed: {', '.join(f'{gain:+.1f}' for gain in gains)}"
        for (one, other), gains in found.items()
    ]


def rates_text(chosen: Mapping[str, tuple[float, bool]]) -> list[str]:
    """`learning_rates` as lines of text, one a variant."""
    return [
        f"learning rate of {name}: {rate:g}{', the edge of the grid' if edge else ''}"
        for name, (rate, edge) in chosen.items()
    ]
