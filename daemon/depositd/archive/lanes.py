"""Threads that do work in order, and are never far behind or ahead: the building blocks of packing and verifying."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Generic, Self, TypeVar

ASK_EVERY_S = 0.25
"""How often it is asked whether what is waited for is still wanted."""

T = TypeVar("T")


class Lane:
    """One thread that does what it is given, in order.

    At most ``most_behind`` pieces of work wait; then *put* waits for the oldest, which bounds the memory that
    the pieces hold.  After an error nothing more is done: a later *put* or *drain* raises it, and so does
    whatever was put.  Leaving the context drops the work that has not begun and waits for what has.
    """

    def __init__(self, name: str, most_behind: int) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._most_behind = most_behind
        self._behind: deque[Future[None]] = deque()
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def put(self, work: Callable[[], None]) -> Future[None]:
        """Have ``work`` done after all that was put before; raises what earlier work raised."""
        while self._behind and (len(self._behind) >= self._most_behind or self._behind[0].done()):
            self._behind.popleft().result()
        put = self._thread.submit(self._do, work)
        self._behind.append(put)
        return put

    def drain(self, still_wanted: Callable[[], None] = lambda: None) -> None:
        """Wait until all work is done; raises what it raised first, and what ``still_wanted`` raises meanwhile."""
        while self._behind:
            if wait([self._behind[0]], ASK_EVERY_S).done:
                self._behind.popleft().result()
            else:
                still_wanted()

    def _do(self, work: Callable[[], None]) -> None:
        if self._error is not None:
            raise self._error
        try:
            work()
        except BaseException as error:
            self._error = error
            raise


class Ahead(Generic[T]):
    """An iterator whose items are made in a thread of its own, before they are asked for.

    At most ``most_ahead`` items are made and not yet taken, which bounds the memory that they hold.  What the
    iterator raises is raised where its item was due.  Leaving the context waits for the item that is being made.
    """

    def __init__(self, name: str, items: Iterator[T], most_ahead: int) -> None:
        self._items = items
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._ahead = deque(self._thread.submit(self._make) for _ in range(most_ahead))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[T]:
        while made := self._ahead.popleft().result():
            self._ahead.append(self._thread.submit(self._make))
            yield made[0]

    def _make(self) -> tuple[T] | None:
        """Return the next item in a tuple, None where there is no more."""
        for item in self._items:
            return (item,)
        return None
