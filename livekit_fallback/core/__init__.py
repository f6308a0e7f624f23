# SPDX-License-Identifier: Apache-2.0
"""Pure decisions: who is asked next, for how long, and what an outcome says about health.

Nothing here performs I/O, awaits, logs, reads a clock or draws a random number. Time arrives
as ``now`` (monotonic seconds) and randomness as ``jitter`` (a float in [0, 1)), so every rule
is testable without sleeping. No method awaits, so one event loop needs no locks.
"""
