"""What can be wrong with a request, apart from the data."""


class BadRequest(ValueError):
    """What was asked for does not fit together; the message says what was got, what is needed and the fix."""
