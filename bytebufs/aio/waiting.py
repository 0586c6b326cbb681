"""Waiting: how the task that receives waits, and how it is woken without a turn of the loop in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

__all__ = ["Waiter"]


@final
class Waiter:
    """What one task at a time waits for, again and again.

    To a task it is a future, by the protocol that asyncio has for those that are not its own
    (``_asyncio_future_blocking``, see ``asyncio.isfuture``). A future has the loop call the task in its next turn, for
    which that asks the system what else is ready: as much work as a small message is. ``wake_now()`` calls it at once.
    """

    __slots__ = ("_asyncio_future_blocking", "_call", "_context", "_is_cancelled", "_loop", "_message")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop: Final = loop  # by this name tasks find it
        self._call: Callable[[Waiter], object] | None = None  # by whom a task waits
        self._context: Context | None = None
        self._is_cancelled = False
        self._message: Any = None

    def begin(self) -> None:
        """Be a future that has not been waited for, to the task that is given this by ``yield``."""
        self._asyncio_future_blocking = True

    def end(self) -> None:
        """Know of no task that waits."""
        self._call = None

    @property
    def is_awaited(self) -> bool:
        """Whether a task waits and has not been woken."""
        return self._call is not None

    def wake_now(self) -> None:
        """Run the task until it waits for something else. Only from a callback of the loop: no task may be running."""
        call = self._call
        context = self._context
        if call is not None and context is not None:
            self._call = None
            context.run(call, self)

    def wake_soon(self) -> None:
        """Have the task run in the next turn of the loop."""
        call = self._call
        if call is not None:
            self._call = None
            self._loop.call_soon(call, self, context=self._context)

    # -- what a task calls

    def add_done_callback(self, call: Callable[[Waiter], object], *, context: Context) -> None:
        """Have ``call`` called once: by whom the task waits."""
        self._is_cancelled = False
        self._context = context
        self._call = call

    def result(self) -> None:
        """Raise CancelledError if it was cancelled."""
        if self._is_cancelled:
            raise asyncio.CancelledError if self._message is None else asyncio.CancelledError(self._message)

    def cancel(self, msg: Any = None) -> bool:
        """Wake the task, in the next turn, with CancelledError. False if it has been woken."""
        if self._call is None:
            return False
        self._is_cancelled = True
        self._message = msg
        self.wake_soon()
        return True
