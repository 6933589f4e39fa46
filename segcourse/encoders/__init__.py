"""Classification networks that the segmentation networks start from."""
