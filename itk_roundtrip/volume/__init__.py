"""A series as an image with its metadata dictionaries: read, derived, its slices written."""
