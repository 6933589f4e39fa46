"""The networks, one module a paper; `build` makes one by its name, and `profile` tells what it costs."""

from segcourse.models.cost import profile
from segcourse.models.registry import MODELS, build

__all__ = ["MODELS", "build", "profile"]
