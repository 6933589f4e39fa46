"""A training run in a folder, and labelling images with the model that came out of it.

What the commands `train`, `evaluate`, `predict` and `export` do, for use from Python as well. Keras and
TensorFlow are imported inside the functions, so that the command line starts quickly.
"""

from segcourse.runs.errors import BadRequest, WorkerLost
from segcourse.runs.files import DiskFull, write_json
from segcourse.runs.identity import Remembered, refuse_hidden, refuse_other_names, remembered
from segcourse.runs.labelling import Job, check_targets, jobs, label_file
from segcourse.runs.losses import CLASS_WEIGHTS, LOSSES
from segcourse.runs.models import Labeller, classes_of, labelled, load_model, origin_of, samples
from segcourse.runs.report import write_report
from segcourse.runs.scoring import score, score_labels
from segcourse.runs.training import train

__all__ = [
    "CLASS_WEIGHTS",
    "LOSSES",
    "BadRequest",
    "DiskFull",
    "Job",
    "Labeller",
    "Remembered",
    "WorkerLost",
    "check_targets",
    "classes_of",
    "jobs",
    "label_file",
    "labelled",
    "load_model",
    "origin_of",
    "refuse_hidden",
    "refuse_other_names",
    "remembered",
    "samples",
    "score",
    "score_labels",
    "train",
    "write_json",
    "write_report",
]
