"""What Python has for a record, in the form that JSON can hold."""

import math
from typing import Any


def jsonable(value: Any, digits: int | None = None) -> Any:
    """The value as JSON gives it back: arrays and tuples become lists, keys become strings, NaN becomes None.

    Args:
        value: dicts, lists, tuples, arrays, scalars, nested as they come.
        digits: significant digits that are kept of a float; None keeps all.
    """
    if isinstance(value, dict):
        return {str(key): jsonable(item, digits) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [jsonable(item, digits) for item in value]
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    return value if digits is None else float(f"{value:.{digits}g}")
