# SPDX-License-Identifier: Apache-2.0
"""The vendors' own plugins, unmodified, pointed at the local providers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from livekit.plugins import cartesia, deepgram, openai

if TYPE_CHECKING:
    import aiohttp

    from examples.local_providers import LocalProviders

T = TypeVar("T")

KEY = "no key is checked on loopback"


class Plugins:
    """Makes plugins and closes them in the end, as an application would."""

    def __init__(
        self,
        providers: LocalProviders,
        http: aiohttp.ClientSession,
        stack: contextlib.AsyncExitStack,
    ) -> None:
        self._url = providers.url
        self._http = http
        self._stack = stack

    def _kept(self, plugin: T) -> T:
        self._stack.push_async_callback(plugin.aclose)  # type: ignore[attr-defined]
        return plugin

    def _openai(self, vendor: str = "openai") -> dict[str, Any]:
        return {"base_url": self._url(vendor) + "/v1", "api_key": KEY}

    def _deepgram(self, path: str) -> dict[str, Any]:
        url = self._url("deepgram") + path
        return {"base_url": url, "api_key": KEY, "http_session": self._http}

    def _cartesia(self) -> dict[str, Any]:
        return {"base_url": self._url("cartesia"), "api_key": KEY, "http_session": self._http}

    def openai_llm(self) -> openai.LLM:
        return self._kept(openai.LLM(model="gpt-4.1-mini", **self._openai()))

    def cerebras_llm(self) -> openai.LLM:
        return self._kept(openai.LLM.with_cerebras(**self._openai("cerebras")))

    def openai_stt(self) -> openai.STT:
        stt = self._kept(openai.STT(**self._openai()))
        # unlike the other two it leaves its client open
        self._stack.push_async_callback(stt._client.close)
        return stt

    def deepgram_stt(self) -> deepgram.STT:
        return self._kept(deepgram.STT(**self._deepgram("/v1/listen")))

    def cartesia_stt(self, model: str = "ink-2") -> cartesia.STT:
        return self._kept(cartesia.STT(model=model, **self._cartesia()))

    def openai_tts(self, **options: Any) -> openai.TTS:
        return self._kept(openai.TTS(**options, **self._openai()))

    def deepgram_tts(self) -> deepgram.TTS:
        return self._kept(deepgram.TTS(**self._deepgram("/v1/speak")))

    def cartesia_tts(self, **options: Any) -> cartesia.TTS:
        return self._kept(cartesia.TTS(**options, **self._cartesia()))
