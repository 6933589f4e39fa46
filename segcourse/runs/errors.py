"""What can be wrong with a request, apart from the data, and what can happen to a run."""


class BadRequest(ValueError):
    """What was asked for does not fit together; the message says what was got, what is needed and the fix."""


class WorkerLost(RuntimeError):
    """Another of several workers is gone, so that this one cannot go on; the message says how to continue."""
