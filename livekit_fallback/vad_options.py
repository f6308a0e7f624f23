# SPDX-License-Identifier: Apache-2.0
"""The options of the adapter for voice activity detectors, their defaults and why."""

from __future__ import annotations

from pydantic import with_config
from typing_extensions import TypedDict

from .options import (
    COMMON_DEFAULTS,
    NO_OTHERS,
    AdapterOptions,
    Count,
    Deadline,
    Positive,
    Probe,
    Seconds,
    Timeout,
)


@with_config(NO_OTHERS)
class VADOptions(TypedDict, total=False):
    """Keywords of :class:`~livekit_fallback.FallbackVAD`.

    Args:
        attempt_timeout: How long a detector may owe its first INFERENCE_DONE, from the first
            window of audio on. ``None``: for ever, and then it is not watched for falling
            behind either. ``"auto"`` is the default.
        stall_timeout: How late a window of audio may be judged. One that is judged later, or
            never, means that the detector stands still or has fallen behind. Audio that comes
            faster than people speak is expected as if it came at twice their pace. ``None``: as
            above. A detector that is alone in the list may be ``total_timeout`` late: to begin
            anew would not make it faster.
        total_timeout: Seconds in which a detector must have been found that works. After
            that an ``exhausted`` event says that there is none, an open segment is closed, and
            the search begins again. ``None``: it never ends.
        retry_interval: See :class:`AdapterOptions`.
        temporary_disable_sec: See :class:`AdapterOptions`.
        max_disable_sec: See :class:`AdapterOptions`.
        permanent_disable_after_attempts: See :class:`AdapterOptions`.
        probe: See :class:`AdapterOptions`. ``"replay"``: the newest half second of audio, which
            has to be judged to its end within ``attempt_timeout``. ``"ping"``: the same with
            silence.
        health_check_interval: See :class:`AdapterOptions`.
        probation_successes: How many seconds a detector has to hear well after its probe, before
            its failures are forgotten.
        sticky: See :class:`AdapterOptions`. Without it, a better detector that is back takes
            over after a second in which nobody spoke.
        min_dwell_sec: See :class:`AdapterOptions`.
        flapping_limit: See :class:`AdapterOptions`.
        max_retry_per_vad: ``max_retry`` of every detector.
        replay_buffer_sec: How much of the newest audio the next detector is given again.
    """

    attempt_timeout: Deadline
    stall_timeout: Timeout
    total_timeout: Timeout
    retry_interval: Seconds
    temporary_disable_sec: Seconds
    max_disable_sec: Seconds
    permanent_disable_after_attempts: Positive | None
    probe: Probe
    health_check_interval: Timeout
    probation_successes: Positive
    sticky: bool
    min_dwell_sec: Seconds
    flapping_limit: Positive | None
    max_retry_per_vad: Count
    replay_buffer_sec: Seconds


VAD_DEFAULTS: VADOptions = {
    # with a window (32 ms) and a frame (10 to 20 ms) before it, noticed within 300 ms of audio
    "attempt_timeout": 0.24,
    "stall_timeout": 0.24,
    # a caller who is taken to be speaking for longer is left without an answer
    "total_timeout": 2.0,
    # detectors are local: another try costs nothing but processor time
    "retry_interval": 0.2,
    "temporary_disable_sec": 5.0,
    "max_disable_sec": 300.0,
    "permanent_disable_after_attempts": None,
    "probe": "replay",
    "health_check_interval": None,
    # contention for the processor comes and goes within a second
    "probation_successes": 3,
    "sticky": False,
    "min_dwell_sec": 0.0,
    "flapping_limit": 6,
    # a second detector is at hand
    "max_retry_per_vad": 0,
    # more than any detector waits before it believes in speech or in its end
    "replay_buffer_sec": 1.0,
}

VAD_UNUSED: AdapterOptions = {
    **COMMON_DEFAULTS,
    "attempt_timeout_floor": 0.24,
    "attempt_timeout_ceiling": 0.24,
}
"""What the other adapters let users choose, and detectors leave no choice about."""
