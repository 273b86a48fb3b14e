"""How work that is under way is stopped."""


class Interrupted(Exception):
    """Work was stopped before its end; of a transfer, nothing whole has arrived anywhere.

    No error: the daemon stops, or an operator's word or another delivery came first.  ``why`` is a sentence where the
    operator should know, ``behind`` the dataset that an operator's word must free first.
    """

    def __init__(self, why: str = "", *, behind: int | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.behind = behind
