# SPDX-License-Identifier: Apache-2.0
"""The adapters: thin I/O around the decisions of :mod:`livekit_fallback.core`.

What is written once:

* ``_chain.py``: what an adapter owns: providers, health, metrics, closing
* ``_emitter.py``: the events and hooks by which it tells about them
* ``_control.py``, ``_base.py``: what operators, and what the session, read from any adapter
* ``_request.py``: one request's walk down the chain, driven
* ``_verdicts.py``: whether a rejected request was the provider's fault or its own
* ``_attempt.py`` with ``_assignment.py``: one use of one provider: deadlines, commit point,
  cancellation, closing
* ``_watch.py``, ``_tasks.py``, ``_clock.py``: its timer, its task, its time
* ``_outbox.py``: the way from an attempt to the session
* ``_probe.py``: small requests that only learn whether a provider is well
* ``_livekit.py``: everything private of LiveKit that we touch, with the reasons

What is special about each component:

* ``llm.py`` with ``_extras.py``: the model's answer, vendor extras
* ``tts.py`` with ``_voice.py``: the text as it grows, the voice's audio
* ``stt.py`` with ``_listen.py``, ``_replay.py``, ``_batch.py``, ``_oneshot.py`` and
  ``_capabilities.py``: the caller's audio, what is kept of it, recognisers that cannot stream
* ``vad.py`` with ``_activity.py``, ``_detect.py`` and ``_segment.py``: the caller's activity, as
  told by one detector after the other; ``energy_vad.py``: a detector of our own
"""
