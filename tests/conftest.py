"""Settings for the whole test session, made before anything imports TensorFlow or draws a figure."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib

# Not by MPLBACKEND, which the notebooks' kernels would inherit: their figures must come inline.
matplotlib.use("Agg")

# The order of the lessons and their budget of time; and what tests that itself.
pytest_plugins = ["lesson_budget", "pytester"]
