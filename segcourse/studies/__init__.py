"""Studies: the controlled experiments whose results the lessons show.

Every module here is one study, with a `STUDY` that says what it costs, what can be chosen and how it is run.
`segcourse study NAME` runs it and writes `data/results/NAME.json`. A result carries a probe of the behaviour
that produced it, so that code may be improved as long as it still does the same. `core` has what all studies
share.
"""

from segcourse.studies.core.running import run
from segcourse.studies.core.store import describe, load, score
from segcourse.studies.core.study import Study, get, names

__all__ = ["Study", "describe", "get", "load", "names", "run", "score"]
