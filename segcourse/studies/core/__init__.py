"""What all studies share: how one is described, found, run, stored, checked, trained and summed up."""

from segcourse.studies.core.study import Study

__all__ = ["Study"]
