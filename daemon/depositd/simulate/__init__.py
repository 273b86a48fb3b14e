"""Simulated instruments that write real files at a real pace, with faults on request.

``plan`` says what there is to simulate and is light to import; ``writers`` makes the bytes;
``instruments.run`` writes them the way the real instrument does.
"""

from depositd.simulate.plan import FAULTS, SIMULATORS, Plan

__all__ = ["FAULTS", "SIMULATORS", "Plan"]
