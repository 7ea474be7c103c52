"""When to repeat a request, after which delay, and how many connections are open at a time."""

from __future__ import annotations

import logging
import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from s2pipe.download.cfg import RetryConfig
from s2pipe.errors import ServiceError
from s2pipe.runtime.progress import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
log = logging.getLogger("s2pipe.download")
_RECOVERY = 16
"""Answers without a complaint after which one more connection is tried again."""


class Stopped(Exception):  # noqa: N818 - a signal to workers, not a fault
    """The run is being stopped; raised in its workers only."""


class TryAgain(Exception):  # noqa: N818 - a signal to the loop of attempts, not a fault
    """One attempt failed in a way that another may not.

    Parameters
    ----------
    reason : str
        What happened.
    status : int, optional
        HTTP status, if there was an answer.
    after : float, optional
        Seconds that the server asked to wait.
    """

    def __init__(self, reason: str, status: int | None = None, after: float | None = None) -> None:
        self.reason = reason
        self.status = status
        self.after = after
        super().__init__(reason)


@dataclass
class Backoff:
    """Counts attempts without progress and waits between them."""

    policy: RetryConfig
    """Number of attempts and delays."""
    stop: threading.Event
    """Set when the run is being stopped; ends every wait."""
    attempts: int = 0
    """Attempts since the last progress."""

    def wait(self, error: TryAgain, what: str) -> None:
        """Wait before the next attempt.

        Raises
        ------
        ServiceError
            That was the last attempt.
        Stopped
            The run is being stopped.
        """
        self.attempts += 1
        if self.attempts >= self.policy.max_attempts:
            msg = f"{what}: given up after {self.attempts} attempt(s): {error.reason}; run again later"
            raise ServiceError(
                msg,
                error.status,
            )
        seconds = self.delay(error.after)
        log.info(
            "%s: %s; waiting %s, then attempt %d of %d",
            what,
            error.reason,
            duration_text(seconds) if seconds >= 1 else f"{seconds:.1f} s",
            self.attempts + 1,
            self.policy.max_attempts,
        )
        if self.stop.wait(seconds):
            raise Stopped

    def delay(self, after: float | None) -> float:
        """Seconds until the next attempt: what the server asked for, else doubling, with some chance in it."""
        policy = self.policy
        if after is not None:
            return min(max(after, 0.0), policy.max_delay_s)
        doubled = policy.base_delay_s * 2.0 ** min(self.attempts - 1, 30)
        return min(doubled, policy.max_delay_s) * random.uniform(0.75, 1.0)  # noqa: S311 - spreads requests


def repeat(operation: Callable[[], T], backoff: Backoff, what: str) -> T:
    """Call ``operation`` until it does not raise :class:`TryAgain`."""
    while True:
        try:
            return operation()
        except TryAgain as error:
            backoff.wait(error, what)


class Gate:
    """Lets a limited number of requests through at a time, and fewer after the server complained.

    Parameters
    ----------
    limit : int
        Greatest number of connections.
    stop : threading.Event
        Set when the run is being stopped.
    """

    def __init__(self, limit: int, stop: threading.Event) -> None:
        self._most = self._limit = limit
        self._stop = stop
        self._open = 0
        self._good = 0
        self._closed_until = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Hold one of the connections."""
        with self._changed:
            while self._open >= self._limit or time.monotonic() < self._closed_until:
                if self._stop.is_set():
                    raise Stopped
                self._changed.wait(min(0.2, max(0.01, self._closed_until - time.monotonic())))
            if self._stop.is_set():
                raise Stopped
            self._open += 1
        try:
            yield
        finally:
            with self._changed:
                self._open -= 1
                self._changed.notify()

    def complained(self, seconds: float) -> None:
        """Halve the number of connections and let none through for a while (answer 429)."""
        with self._changed:
            self._limit = max(1, self._limit // 2)
            self._good = 0
            self._closed_until = max(self._closed_until, time.monotonic() + seconds)

    def went_well(self) -> None:
        """Count an answer without a complaint; after enough of them one more connection is allowed."""
        with self._changed:
            self._good += 1
            if self._good >= _RECOVERY and self._limit < self._most:
                self._limit += 1
                self._good = 0
                self._changed.notify()

    @property
    def limit(self) -> int:
        """Connections allowed now."""
        with self._changed:
            return self._limit
