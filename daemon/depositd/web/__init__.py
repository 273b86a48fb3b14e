"""What the daemon says over HTTP to a monitor: whether it moves, and its status as JSON; it only reads.

``app``     the answers, and who may ask: the Host allow-list is what stops DNS rebinding
``server``  uvicorn in a thread of the daemon
"""

from depositd.web.app import create_app
from depositd.web.server import Server, serve_in_background

__all__ = ["Server", "create_app", "serve_in_background"]
