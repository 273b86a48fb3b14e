"""Simulated instruments that write real files at a real pace, with faults on request.

``catalogue`` and ``plan`` say what there is to simulate and are light to import; ``writers`` makes the bytes;
``instruments.run`` writes them the way the real instrument does.
"""

from depositd.simulate.catalogue import FAULTS, SIMULATORS
from depositd.simulate.plan import Plan

__all__ = ["FAULTS", "SIMULATORS", "Plan"]
