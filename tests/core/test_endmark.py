# SPDX-License-Identifier: Apache-2.0
"""Whether a provider marks the end of its outputs is learnt from its outputs."""

from __future__ import annotations

from livekit_fallback.core.endmark import EndMark


def test_unknown_provider_may_mark_the_end_but_need_not():
    """Before anything was seen an output without a mark is not called cut off."""
    mark = EndMark()

    assert mark.is_plausible
    assert not mark.is_expected


def test_provider_that_marked_an_end_is_expected_to():
    """Once it has, an output that lacks the mark was cut off."""
    mark = EndMark()
    mark.seen_at_end()

    assert mark.is_plausible
    assert mark.is_expected


def test_mark_in_the_middle_means_nothing_ever_after():
    """A provider that sends its mark all the time says nothing about the end by it."""
    before, after = EndMark(), EndMark()
    before.seen_before_more()
    before.seen_at_end()
    after.seen_at_end()
    after.seen_before_more()

    for mark in (before, after):
        assert not mark.is_plausible
        assert not mark.is_expected


def test_habit_that_was_contradicted_takes_longer_to_be_believed_again():
    """A gateway that sends its mark mostly, but not always, is soon no longer suspected."""
    mark = EndMark()
    mark.seen_at_end()

    mark.missed_at_end()

    for _ in range(3):
        mark.seen_at_end()
    assert not mark.is_expected
    mark.seen_at_end()
    assert mark.is_expected


def test_missing_mark_that_nobody_expected_changes_nothing():
    """A provider that has no such habit stays as easy to learn as it was."""
    mark = EndMark()

    mark.missed_at_end()
    mark.seen_at_end()

    assert mark.is_expected
