# SPDX-License-Identifier: Apache-2.0
"""How long to wait: before asking again, and before a failed provider is probed."""

from __future__ import annotations

# 2**16 times any sensible base is past every cap, and larger exponents could overflow a float.
_MAX_DOUBLINGS = 16

# A cool-down of zero means "probe at once", which holds for the first probe only: without a
# floor a dead provider would be probed in a busy loop.
_SECOND_COOL_DOWN_SEC = 1.0


# Workers that lost a provider together must not come back to it together, but a rest that was
# asked for should be about that long.
_SPREAD = 0.2


def full_jitter(retry: int, *, base: float, cap: float, jitter: float) -> float:
    """Return the wait before retry number ``retry`` (0 is the first): exponential, full jitter.

    Args:
        retry: How many waits there have been before this one.
        base: Upper bound of the first wait, in seconds.
        cap: Upper bound of any wait, in seconds.
        jitter: A draw from [0, 1). Full jitter spreads the retries of many callers evenly.
    """
    return jitter * _doubled(base, retry, cap)


def cool_down(failures: int, *, base: float, cap: float) -> float:
    """Return how long a provider rests after its ``failures``-th failure in a row (from 1).

    Args:
        failures: Consecutive failures, counting failed probes.
        base: First cool-down in seconds (``temporary_disable_sec``).
        cap: Longest cool-down in seconds (``max_disable_sec``).
    """
    if failures <= 1:
        return min(base, cap)
    floor = _doubled(_SECOND_COOL_DOWN_SEC, failures - 2, cap)
    return max(floor, _doubled(base, failures - 1, cap))


def spread(rest: float, jitter: float) -> float:
    """Return a rest shortened by up to a fifth, so that many workers do not probe as one.

    Args:
        rest: Seconds.
        jitter: A draw from [0, 1).
    """
    return rest * (1.0 - _SPREAD * jitter)


def _doubled(base: float, times: int, cap: float) -> float:
    doubled: float = base * 2 ** min(times, _MAX_DOUBLINGS)
    return min(cap, doubled)
