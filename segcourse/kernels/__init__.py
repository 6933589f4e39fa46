"""Fast kernels for TensorFlow, each behind one function; a lesson teaches the plain way to the same.

TensorFlow is imported when such a function runs.
"""
