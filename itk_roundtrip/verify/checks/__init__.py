"""The checks of a verification: of files, pixels, functional groups, derived instances, and whole series."""
