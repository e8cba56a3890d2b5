"""Stored and real values of pixels, and how the pixels of every kind of image are carried."""
