# SPDX-License-Identifier: Apache-2.0
"""A second recogniser that listens along, so that it can take over without a new connection."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

from livekit import rtc
from livekit.agents import NotGivenOr
from livekit.agents.stt import STT, RecognizeStream, SpeechEvent, SpeechEventType

from ..core.alignment import tokens_of
from ..core.arrears import Arrears
from ..log import logger
from ..provider import Member
from . import _clock
from ._attempt import current_attempt
from ._base import member_options
from ._chain import Chain
from ._ledger import Ledger
from ._listen import replay, text_of
from ._replay import ReplayBuffer
from ._transcript import ending_with

# A standby that broke off is opened anew after this long.
_REOPEN_SEC = 30.0

# Who is this far behind the one at work does not hear the caller.
_MAX_BEHIND_WORDS = 60

_FINAL = SpeechEventType.FINAL_TRANSCRIPT
_INTERIMS = (SpeechEventType.INTERIM_TRANSCRIPT, SpeechEventType.PREFLIGHT_TRANSCRIPT)


class Standby:
    """One recogniser's stream beside the one at work; entered and iterated once it takes over.

    What it hears is held back, and what the one at work settles is taken off it, so that on the
    takeover only the rest is told.

    Args:
        member: The recogniser.
        lost: Called when its stream has ended before it took over.
    """

    def __init__(self, member: Member[STT], lost: Callable[[], None]) -> None:
        self.member = member
        self.begun_at = 0.0  # the time of its first sample
        self.began_with = 0.0  # the same as a position
        self.expected = Arrears()  # settled, and not heard by this one yet
        self.ears: RecognizeStream | None = None
        self._lost = lost
        self._finals: list[SpeechEvent] = []  # heard, and not settled yet
        self._heard = Arrears()  # the words in them
        self._latest: SpeechEvent | None = None  # words since, that may still change
        self._start: SpeechEvent | None = None  # of the speech that goes on
        self._end: SpeechEvent | None = None
        self._out: deque[SpeechEvent] = deque()
        self.is_adopted = False  # it is at work
        self._is_over = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def can_take_over(self) -> bool:
        """Whether it hears the caller."""
        return self.ears is not None and not self._is_over

    def begin(self, chain: Chain[STT], work: Callable[[Standby], Any]) -> None:
        """Start to listen along."""
        self._task = chain.tasks.spawn(work(self), f"fallback standby {self.member.name}")

    async def listen(
        self, open_ears: Callable[[], RecognizeStream], prime: Callable[[RecognizeStream], None]
    ) -> None:
        """Listen along until the stream ends, or is closed."""
        current_attempt.set(None)  # its metrics are the session's, whoever is at work
        try:
            async with open_ears() as ears:
                prime(ears)
                self.ears = ears
                async for event in ears:
                    self._take(event)
        except Exception as error:
            self._error = error
        finally:
            self._is_over = True
            self._wake()
            if not self.is_adopted:
                self._lost()

    def feed(self, frame: rtc.AudioFrame | None) -> None:
        """Hear the next frame; ``None``: a flush."""
        ears = self.ears
        if ears is None or self._is_over:
            return
        try:
            if frame is None:
                ears.flush()
            else:
                ears.push_frame(frame)
        except Exception as error:
            self._error = error
            self.close()

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self._is_over = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def settled(self, text: str) -> None:
        """The one at work has settled these words."""
        now = _clock.now()
        rest = self._heard.use_up(text, now)
        self._keep_last(len(self._heard))
        if not self._finals:
            self.expected.add(rest, now)
        if len(self.expected) > _MAX_BEHIND_WORDS:
            self.close()

    def _keep_last(self, count: int) -> None:
        kept: list[SpeechEvent] = []
        for event in reversed(self._finals):
            words = tokens_of(event.alternatives[0].text)
            if count <= 0:
                break
            kept.append(event if count >= len(words) else _end_of(event, words[-count - 1].end))
            count -= len(words)
        self._finals = kept[::-1]

    def _take(self, event: SpeechEvent) -> None:
        if self.is_adopted:
            self._out.append(event)
            self._wake()
        elif event.type is SpeechEventType.START_OF_SPEECH:
            self._start, self._end = event, None
        elif event.type is SpeechEventType.END_OF_SPEECH:
            self._start, self._latest = None, None
            self._end = event
        elif event.type is _FINAL:
            self._latest = None
            self._take_final(event)
        elif event.type in _INTERIMS and text_of(event):
            self._latest = event

    def _take_final(self, event: SpeechEvent) -> None:
        text, now = text_of(event), _clock.now()
        rest = self.expected.use_up(text, now) if text else ""
        if rest.strip():
            self._heard.add(rest, now)
            new = event.alternatives[0]
            new = new if rest == text else ending_with(new, rest)
            self._finals.append(replace(event, alternatives=[new, *event.alternatives[1:]]))

    def adopt(self) -> RecognizeStream:
        """Return this as a stream that begins with what is not settled of what was heard."""
        return cast("RecognizeStream", self)

    async def __aenter__(self) -> Standby:
        self.is_adopted = True
        told = [*self._finals, self._latest]
        if self._start is not None:
            told.insert(0, self._start)
        elif self._finals:
            told.append(self._end)
        self._out.extend(event for event in told if event is not None)
        return self

    async def __aexit__(self, *_: object) -> None:
        task = self._task
        self.close()
        if task is not None:
            await asyncio.wait({task})

    def __aiter__(self) -> Standby:
        return self

    async def __anext__(self) -> SpeechEvent:
        while not self._out:
            if self._is_over:
                raise StopAsyncIteration if self._error is None else self._error
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._out.popleft()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ears, name)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Standbys:
    """Keeps the next provider of a chain listening along to one caller.

    Args:
        chain: The providers.
        language: Of the caller.
        kept: The audio that is not settled.
        ledger: Of the same audio.
    """

    def __init__(
        self, chain: Chain[STT], language: NotGivenOr[str], kept: ReplayBuffer, ledger: Ledger
    ) -> None:
        self._chain = chain
        self._language = language
        self._kept = kept
        self._ledger = ledger
        self._standby: Standby | None = None
        self._taken: Standby | None = None  # the last one that took over
        self._not_before = 0.0  # monotonic seconds
        self._is_closed = False

    def push(self, frame: rtc.AudioFrame | None, working: int | None, elapsed: float) -> None:
        """Hear the next frame (``None``: a flush); find somebody to do so, where nobody does.

        Args:
            frame: The newest of the audio kept.
            working: Who is at work.
            elapsed: Seconds since the timeline's zero.
        """
        taken = self._taken
        if taken is not None and not taken.is_adopted:
            taken.feed(frame)  # the session's stream is about to do so
        elif self._standby is not None:
            self._standby.feed(frame)
        elif working is not None and not self._is_closed and _clock.now() >= self._not_before:
            self._open(working, elapsed)

    def settled(self, text: str) -> None:
        """The recogniser at work has settled these words."""
        if self._standby is not None:
            self._standby.settled(text)

    def take(self, provider: int) -> Standby | None:
        """Return the stream that listens along if it is this provider's; else it is closed."""
        standby, self._standby = self._standby, None
        if self._taken is not None and not self._taken.is_adopted:
            self._taken.close()
        if standby is None:
            return None
        if standby.member.index == provider and standby.can_take_over:
            self._taken = standby
            return standby
        standby.close()
        return None

    def close(self) -> None:
        """Stop listening along. Idempotent."""
        self._is_closed = True
        for standby in (self._standby, self._taken):
            if standby is not None:
                standby.close()
        self._standby = self._taken = None

    def _open(self, working: int, elapsed: float) -> None:
        if not self._ledger.is_clean:
            return  # words are settled whose audio it would hear again
        member = self._next_to(working)
        if member is None:
            self._not_before = _clock.now() + 1.0
            return
        standby = Standby(member, lambda: self._lost(standby))
        self._standby = standby
        standby.begin(self._chain, partial(self._work, elapsed))

    async def _work(self, elapsed: float, standby: Standby) -> None:
        def open_ears() -> RecognizeStream:
            stt: STT = standby.member.instance
            options = member_options(standby.member)
            return stt.stream(language=self._language, conn_options=options)

        await standby.listen(open_ears, partial(self._prime, elapsed, standby))

    def _prime(self, elapsed: float, standby: Standby, ears: RecognizeStream) -> None:
        standby.expected = Arrears(self._ledger.settled_and_kept, _clock.now())
        standby.began_with = self._kept.start
        standby.begun_at = ears.start_time_offset = self._ledger.time_of_kept(elapsed)
        replay(self._kept, ears)

    def _next_to(self, working: int) -> Member[STT] | None:
        now = _clock.now()
        for index in self._chain.health.order(now):
            member = self._chain.members[index]
            if index != working and not member.is_wrapped and not member.is_stateful:
                return member if self._chain.health.circuit(index).state.is_usable else None
        return None

    def _lost(self, standby: Standby) -> None:
        if self._standby is standby:
            self._standby = None
            self._not_before = _clock.now() + _REOPEN_SEC
            logger.debug(
                "the recogniser that listened along broke off",
                extra={"provider": standby.member.name},
            )


def _end_of(event: SpeechEvent, begin: int) -> SpeechEvent:
    data = event.alternatives[0]
    rest = ending_with(data, data.text[begin:].lstrip())
    return replace(event, alternatives=[rest, *event.alternatives[1:]])
