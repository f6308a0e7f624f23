# SPDX-License-Identifier: Apache-2.0
"""The adapters: thin I/O around the decisions of :mod:`livekit_fallback.core`.

* ``_chain.py``: what the adapters share: providers, health, events, metrics, closing
* ``_request.py``: one request's walk down the chain, driven
* ``_attempt.py``: one use of one provider: deadlines, commit point, cancellation, closing
* ``_probe.py``: probes of providers whose cool-down is over
* ``llm.py``, ``stt.py``, ``tts.py``: what is special about each component
* ``_livekit.py``: everything private of LiveKit that we touch
"""
