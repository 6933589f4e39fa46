"""Fast TensorFlow kernels, each behind one function. TensorFlow is imported when such a function runs."""
