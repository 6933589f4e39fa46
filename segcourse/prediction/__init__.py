"""Label maps from a trained network: of whole images, tile by tile, and faster by folding."""

from segcourse.prediction.folding import folded
from segcourse.prediction.tiling import tiled_logits
from segcourse.prediction.whole import evaluate, predict, predict_tiled

__all__ = ["evaluate", "folded", "predict", "predict_tiled", "tiled_logits"]
