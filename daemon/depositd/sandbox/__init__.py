"""Both servers' APIs on loopback, streaming, with faults on request: for trying, training, testing and the demo.

Theory of operation
-------------------
:mod:`~depositd.sandbox.proteindiffraction` and :mod:`~depositd.sandbox.proteomicsqc` answer as the servers'
documents say, from the in-memory stores of :mod:`~depositd.sandbox.state`.  Nothing runs in the background: a
submission's status and a run's progress are functions of the clock, worked out when somebody asks.
:mod:`~depositd.sandbox.gate` stands in front of both; it counts requests, reads bodies to their end before anything is
answered (as the real servers do) and lets the faults of :mod:`~depositd.sandbox.faults` happen.
:mod:`~depositd.sandbox.server` puts it all on one port of the loopback interface.

This room imports nothing of the clients that are tested against it, so that no error can be on both sides.
"""

from depositd.sandbox.faults import FAULTS, Fault
from depositd.sandbox.server import Options, Sandbox, running, serve

__all__ = ["FAULTS", "Fault", "Options", "Sandbox", "running", "serve"]
