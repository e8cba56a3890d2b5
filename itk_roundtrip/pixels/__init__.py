"""Stored and real values, and every kind of image as a table; numpy only."""
