# SPDX-License-Identifier: Apache-2.0
"""What several recognisers can do as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from livekit.agents.stt import STTCapabilities

from ..provider import Member


def combined(members: Sequence[Member[Any]]) -> STTCapabilities:
    """Return what all can do, or any, where one that can is enough."""
    each = [member.instance.capabilities for member in members]
    grains = {c.aligned_transcript for c in each}
    combined = STTCapabilities(
        streaming=True,
        interim_results=all(c.interim_results for c in each),
        diarization=all(c.diarization for c in each),
        aligned_transcript=next(grain for grain in (False, "chunk", "word") if grain in grains),
        offline_recognize=any(m.original.capabilities.offline_recognize for m in members),
        keyterms=any(c.keyterms for c in each),
        chat_context=any(c.chat_context for c in each),
    )
    if any(field.name == "manual_flush" for field in dataclasses.fields(combined)):
        combined.manual_flush = all(c.manual_flush for c in each)
    return combined
