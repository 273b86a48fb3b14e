"""How work that is under way is stopped."""


class Interrupted(Exception):
    """Work was stopped before its end; of a transfer, nothing whole has arrived anywhere.

    No error: the daemon stops, or an operator's word or another delivery came first.  ``why`` is a sentence where the
    operator should know.
    """

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why
