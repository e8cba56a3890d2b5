"""Series of a folder by the headers of its files: instances, slices, volumes, geometry, irregularities."""
