"""Both servers' APIs on loopback, streaming, with faults on request: for trying, training, testing and the demo.

Theory of operation
-------------------
:mod:`~depositd.sandbox.proteindiffraction` and :mod:`~depositd.sandbox.proteomicsqc` answer as the servers'
documents say, from the in-memory stores of :mod:`~depositd.sandbox.state`.  Nothing runs in the background: a
submission's status and a run's progress are functions of the clock, worked out when somebody asks.
:mod:`~depositd.sandbox.gate` stands in front of both; it counts requests, reads bodies to their end before anything is
answered (as the real servers do) and lets the faults of :mod:`~depositd.sandbox.faults` happen.
:mod:`~depositd.sandbox.openapi` says what both APIs promise, and the tests hold servers and clients to it.
:mod:`~depositd.sandbox.server` puts it all on one port of the loopback interface.

This room imports nothing of the clients that are tested against it, so that no error can be on both sides.
"""

from typing import TYPE_CHECKING, Any

from depositd.sandbox.faults import FAULTS, Fault

if TYPE_CHECKING:
    from depositd.sandbox.server import Options, Sandbox, running, serve

__all__ = ["FAULTS", "Fault", "Options", "Sandbox", "running", "serve"]


def __getattr__(name: str) -> Any:
    """Import the server when it is first asked for: the command's help needs only the faults' names, and at once."""
    if name in __all__:
        from depositd.sandbox import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
