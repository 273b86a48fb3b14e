"""Watching: the sweep is the truth, events only wake it early, and quiet is measured on our own clock."""
