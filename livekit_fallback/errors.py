# SPDX-License-Identifier: Apache-2.0
"""Errors that the adapters raise, and those they record for what providers do silently.

All of them are LiveKit errors, so code that handles ``APIError`` keeps working::

    APIError
    ├── NoOutputError                  the stream ended cleanly without having done its work
    │   └── DigitalSilenceError         a voice sent nothing but zeros
    ├── NotSupportedError              the provider cannot do what the request asks
    ├── ProbeRefusedError              a probe of the user's own said no
    ├── ProviderCancelledError         a provider cancelled itself
    └── APIConnectionError
        ├── AdapterClosedError         the adapter was closed under a request
        ├── AllProvidersFailedError    raised to the session: nobody served
        ├── EndedEarlyError            a stream ended although more was owed
        │   └── CutShortError           a voice left out much of its text
        └── APITimeoutError
            ├── FirstOutputTimeoutError
            ├── NotListeningError
            ├── SilentError             a recogniser says nothing about speech
            ├── SlowOutputError         a provider serves, but takes too long for it
            └── StallError
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from livekit.agents import APIConnectionError, APIError, APITimeoutError

from .core.outcome import FailureKind


class FirstOutputTimeoutError(APITimeoutError):
    """The provider owed its first useful output and did not give it in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no useful output within {seconds:.3g} s")


class StallError(APITimeoutError):
    """The provider stopped in the middle of its output while more was owed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no further output within {seconds:.3g} s")


class NotListeningError(APITimeoutError):
    """A recogniser did not take the audio handed to it: it is not connected, or no longer."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"audio was not taken for {seconds:.3g} s")


class SilentError(APITimeoutError):
    """A recogniser was given speech, and gave nothing back."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no sign of life for {seconds:.2f} s of speech and the wait after it")


class SlowOutputError(APITimeoutError):
    """The provider gives useful output, but too late, and so is left for another one."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the first useful output took {seconds:.3g} s or more")


class NoOutputError(APIError):
    """The stream ended cleanly, but with nothing in it that a caller could notice."""

    def __init__(self, what: str) -> None:
        super().__init__(f"ended without {what}")


class EndedEarlyError(APIConnectionError):
    """The stream ended cleanly although more was owed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"ended early: {what}")


class DigitalSilenceError(NoOutputError):
    """A voice sent audio for a text with words in it, and all of its samples were zero."""

    def __init__(self) -> None:
        super().__init__("sound")


class CutShortError(EndedEarlyError):
    """A voice's audio ended cleanly, and is much shorter than its text."""

    def __init__(self) -> None:
        super().__init__("the audio is too short for its text")


class NotSupportedError(APIError):
    """The provider cannot do what the request asks, by its own capabilities."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not supported", retryable=False)


class ProbeRefusedError(APIError):
    """The callable given as ``probe`` returned ``False``."""

    def __init__(self) -> None:
        super().__init__("the probe said that the provider is not back")


class ProviderCancelledError(APIError):
    """A provider raised ``CancelledError`` although nobody cancelled it."""

    def __init__(self) -> None:
        super().__init__("the provider cancelled itself")


class AdapterClosedError(APIConnectionError):
    """The adapter was closed while the request was under way."""

    def __init__(self, component: str) -> None:
        super().__init__(f"the {component} fallback adapter was closed", retryable=False)


def as_exception(error: BaseException) -> Exception:
    """Return the error as one that sessions and LiveKit's events can handle."""
    if isinstance(error, Exception):
        return error
    wrapped = APIError(type(error).__name__)
    wrapped.__cause__ = error
    return wrapped


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """What one failed attempt came to.

    Args:
        provider: The provider's name.
        kind: What the failure means for health and retries.
        reason: Short machine-readable word, such as ``"http_503"`` or ``"stall"``.
        status_code: HTTP status, if the provider answered with one.
        request_id: The provider's id of the request, if it gave one.
        body: The body of the provider's error response, if kept by its plugin. May quote the
            prompt: do not log it.
        duration: Seconds from the beginning of the attempt to its failure.
        error: The original exception.
        latency: With ``reason="latency"``: seconds that its first useful output took, at least.
    """

    provider: str
    kind: FailureKind
    reason: str
    status_code: int | None
    request_id: str | None
    body: object | None
    duration: float
    error: Exception
    latency: float | None = None


class AllProvidersFailedError(APIConnectionError):
    """Every provider was asked and none served.

    ``retryable`` is ``False``: the adapter has already walked the chain for as long as the
    request's budget allowed. The last original exception is the ``__cause__``, and LiveKit adds
    its message to this one's text, which is therefore not fit for a log.

    Args:
        component: ``"llm"``, ``"stt"``, ``"tts"`` or ``"vad"``.
        attempts: One report per attempt, in the order they were made.
        duration: Seconds from the first failure or debt to giving up.
    """

    def __init__(
        self, component: str, attempts: Sequence[AttemptReport], *, duration: float
    ) -> None:
        self.component = component
        self.attempts = tuple(attempts)
        self.duration = duration
        tries = ", ".join(f"{a.provider}: {a.reason}" for a in self.attempts)
        super().__init__(
            f"all {component} providers failed after {duration:.2f} s ({tries})", retryable=False
        )
