"""Nights of random trouble around the installed daemon, until the time is over: ``scripts/torture --minutes 60``."""
