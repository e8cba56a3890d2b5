"""Encoded data sets as bytes: how a file begins, elements and their edits, frames, streams, readers."""
