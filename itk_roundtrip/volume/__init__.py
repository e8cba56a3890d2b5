"""A series as one image with its dictionaries: read, derived, its slices written."""
