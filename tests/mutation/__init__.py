"""Breaks the decisions one operator at a time and shows which breaks no test notices: ``scripts/mutate``."""
