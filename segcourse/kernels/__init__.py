"""Fast kernels for TensorFlow, by hand: what a lesson teaches in `keras.ops` is the plain way to the same."""
