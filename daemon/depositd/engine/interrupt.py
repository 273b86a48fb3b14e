"""How work that is under way is stopped."""


class Interrupted(Exception):
    """A transfer was stopped before its last byte; nothing whole has arrived anywhere.

    No error: the daemon stops, or an operator's word came first.
    """
