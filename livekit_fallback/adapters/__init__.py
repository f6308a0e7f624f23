# SPDX-License-Identifier: Apache-2.0
"""The adapters: thin I/O around the decisions of :mod:`livekit_fallback.core`.

What is written once:

* ``_chain.py``: what an adapter owns: providers, health, events, metrics, closing
* ``_request.py``: one request's walk down the chain, driven
* ``_attempt.py``: one use of one provider: deadlines, commit point, cancellation, closing
* ``_watch.py``, ``_tasks.py``, ``_clock.py``: its timer, its task, its time
* ``_outbox.py``: the way from an attempt to the session
* ``_probe.py``: probes of providers whose cool-down is over
* ``_base.py``: what the session reads from any adapter
* ``_livekit.py``: everything private of LiveKit that we touch, with the reasons

What is special about each component:

* ``llm.py`` with ``_extras.py``: the model's answer, vendor extras
* ``tts.py`` with ``_voice.py``: the text as it grows, the voice's audio
* ``stt.py`` with ``_listen.py``, ``_replay.py``, ``_batch.py`` and ``_oneshot.py``: the caller's
  audio, what is kept of it, recognisers that cannot stream
"""
