# SPDX-License-Identifier: Apache-2.0
"""A single answer in the shape of a stream, so that one kind of attempt serves both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from types import TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class OneShot(Generic[T]):
    """A stream of one item: the coroutine's result. Cancelling the reader cancels the coroutine."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work: Coroutine[Any, Any, T] | None = work

    async def __aenter__(self) -> AsyncIterator[T]:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        if self._work is not None:
            self._work.close()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        if self._work is None:
            raise StopAsyncIteration
        work, self._work = self._work, None
        return await work
