"""One thread that owns the label store, so that many people's answers share one wait for the disk.

An answer is acknowledged only when it is durable, and making it so costs milliseconds of fsync. Jobs that wait at the
same time run in one transaction (group commit); a job that fails leaves the others' work alone.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

from labeling.desk import Desk
from labeling.store import Store

__all__ = ["Overloaded", "StoreThread", "database_error"]

T = TypeVar("T")
Job = Callable[[Store, Desk], T]

MAX_BATCH = 256
MAX_WAITING = 2000
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Overloaded(RuntimeError):  # noqa: N818  # says what is the matter, as StoreError does
    """More jobs wait than can be done soon; the sender should come again later."""


@dataclass(slots=True)
class _Waiting:
    job: Job[Any]
    future: Future[Any]
    result: Any = field(default=None)
    error: Exception | None = None

    def run(self, store: Store, desk: Desk) -> None:
        """Runs the job as one piece: all of what it writes, or nothing."""
        self.result, self.error = None, None
        try:
            with store.together():
                self.result = self.job(store, desk)
        except Exception as error:  # it is the caller's, who gets it raised
            self.error = error

    def deliver(self) -> None:
        """Hands the caller what came of it."""
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class StoreThread:
    """Runs jobs on a store and a desk that live in a thread of their own; a context manager.

    Raises:
        StoreError: what `open_both` raised in the thread.
    """

    def __init__(self, open_both: Callable[[], tuple[Store, Desk]]) -> None:
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_open = True
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, args=(open_both, opened), name="store", daemon=True)
        self._thread.start()
        opened.result()

    def submit(self, job: Job[T]) -> Future[T]:
        """Queues a job; the future has its result once all it wrote is durable, or its error.

        Raises:
            Overloaded: if too much waits already, or the thread has been closed.
        """
        future: Future[T] = Future()
        with self._lock:
            if not self._is_open or self._queue.qsize() >= MAX_WAITING:
                raise Overloaded("the label store is busy; try again in a few seconds")
            self._queue.put(_Waiting(job, future))
        return future

    async def run(self, job: Job[T]) -> T:
        """As `submit`, for coroutines: returns what the job returned, after the commit."""
        return await asyncio.wrap_future(self.submit(job))

    def close(self) -> None:
        """Does what waits, closes the store and ends the thread."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                self._queue.put(None)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _work(self, open_both: Callable[[], tuple[Store, Desk]], opened: Future[None]) -> None:
        try:
            store, desk = open_both()
        except Exception as error:  # raised again in the thread that waits for it
            opened.set_exception(error)
            return
        opened.set_result(None)
        with store:
            is_last = False
            while not is_last:
                batch, is_last = self._next_batch()
                run_batch(store, desk, batch)

    def _next_batch(self) -> tuple[list[_Waiting], bool]:
        """All that waits, at least one; and whether nothing comes after it."""
        batch: list[_Waiting] = []
        waiting = self._queue.get()
        while waiting is not None:
            if waiting.future.set_running_or_notify_cancel():
                batch.append(waiting)
            if len(batch) >= MAX_BATCH:
                return batch, False
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True


def run_batch(store: Store, desk: Desk, batch: Sequence[_Waiting]) -> None:
    """Runs jobs in one transaction and delivers the results after it; where the file itself fails, one by one."""
    failure = _run_together(store, desk, batch)
    if failure is not None:
        for waiting in batch:
            if is_locked(failure):  # each further try would wait as long again
                waiting.error = failure
            else:
                waiting.run(store, desk)
    for waiting in batch:
        waiting.deliver()


def _run_together(store: Store, desk: Desk, batch: Sequence[_Waiting]) -> Exception | None:
    try:
        with store.together():
            for waiting in batch:
                waiting.run(store, desk)
                if waiting.error is not None and database_error(waiting.error) is not None:
                    # A full disk can take back the whole transaction: what the others were told would be untrue.
                    raise _FileFailed from waiting.error
    except _FileFailed as failed:
        cause = failed.__cause__
        assert isinstance(cause, Exception)
        return cause
    except Exception as error:  # begin or commit failed; the thread must live on
        return error
    return None


class _FileFailed(Exception):  # noqa: N818  # it ends a transaction and never leaves this module
    pass


def database_error(error: BaseException) -> sqlite3.Error | OSError | None:
    """The failure of the file or the disk behind an error; None where a rule was broken or a value was bad."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error | OSError) and not isinstance(cause, sqlite3.IntegrityError):
        return cause
    return None


def is_locked(error: BaseException) -> bool:
    """Whether another process kept the file to itself for too long."""
    cause = database_error(error)
    code = getattr(cause, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _LOCKED
