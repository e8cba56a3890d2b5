"""Which series there are: one header scan per file, slices, volumes, geometry, irregularities."""
