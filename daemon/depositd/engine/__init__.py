"""The engine: observe, judge, archive, deliver, track; small steps over the rooms below.

Each module takes values and returns values, or takes one step and records one fact.  Threads, signals and the
clock belong to :mod:`depositd.service`; here ``now`` is an argument.
"""
