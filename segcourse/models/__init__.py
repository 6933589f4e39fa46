"""The networks, one module a paper; `build` makes one by its name."""

from segcourse.models.registry import MODELS, build

__all__ = ["MODELS", "build"]
