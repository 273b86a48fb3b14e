"""Who is told of what needs somebody: bundled, bounded, and never in the way of the work.

``bundle`` makes a message of what happened, ``notifier`` decides when it is sent, ``sender`` hands it to Apprise.
"""

from depositd.notify.bundle import Message, Notice, message_of
from depositd.notify.notifier import Notifier, Target
from depositd.notify.sender import INSTALL, is_installed, require_installed, secrets_in, send, wrong_with

__all__ = [
    "INSTALL",
    "Message",
    "Notice",
    "Notifier",
    "Target",
    "is_installed",
    "message_of",
    "require_installed",
    "secrets_in",
    "send",
    "wrong_with",
]
