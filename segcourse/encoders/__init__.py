"""Classification networks that the segmentation networks start from."""

# First, because importing Keras makes segcourse import all its layers: none may be half imported by then.
import keras  # noqa: F401
