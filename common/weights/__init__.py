"""Public pre-trained weights: what there is, where it lies, and how to get it."""

from common.weights.catalogue import CATALOGUE, WEIGHTS_DIR_VARIABLE, Weights, find, path, weights_dir
from common.weights.download import fetch

__all__ = ["CATALOGUE", "WEIGHTS_DIR_VARIABLE", "Weights", "fetch", "find", "path", "weights_dir"]
