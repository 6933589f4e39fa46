"""A search for parameters, one after the other, that climbs until the best lies inside of what was tried."""

import math
from collections.abc import Callable, Mapping, Sequence


def climb(
    start: Mapping[str, float], factor: float, most: int, score: Callable[..., float]
) -> list[dict[str, float]]:
    """Coordinate ascent: each parameter in turn goes up or down by `factor` as long as that is better.

    It ends when no neighbour is better, a neighbour being the best with one parameter one step up or down.
    All of them have been tried then, so that no parameter lies at an edge.

    Args:
        start: where it begins, all above 0.
        factor: above 1.
        most: how many points are tried at most; with that many, the best may still lie at an edge.
        score: function (**parameters) -> the mean IoU.

    Returns:
        a dict for each point in the order in which they were tried, the parameters and "miou".
    """
    scores = {}  # by the number of steps that each parameter is away from its start

    def at(place):
        if place not in scores and len(scores) < most:
            scores[place] = score(**_values(start, factor, place))
        return scores.get(place, -math.inf)

    best, before = (0,) * len(start), None
    at(best)
    while best != before:
        before = best
        for index in range(len(start)):
            for way in (1, -1):
                while at(there := _moved(best, index, way)) > at(best):
                    best = there
    return [{**_values(start, factor, place), "miou": value} for place, value in scores.items()]


def is_inside(found: Sequence[Mapping[str, float]], factor: float) -> bool:
    """Whether all neighbours of the best point of a `climb` have been tried."""
    names = [name for name in found[0] if name != "miou"]
    origin = found[0]
    places = [tuple(round(math.log(row[n] / origin[n], factor)) for n in names) for row in found]
    best = max(range(len(found)), key=lambda index: found[index]["miou"])
    return all(_moved(places[best], index, way) in places for index in range(len(names)) for way in (1, -1))


def _values(start, factor, place):
    """The parameters at a place, rounded to four digits."""
    return {
        name: float(f"{value * factor**steps:.4g}")
        for (name, value), steps in zip(start.items(), place, strict=True)
    }


def _moved(place, index, way):
    return (*place[:index], place[index] + way, *place[index + 1 :])
