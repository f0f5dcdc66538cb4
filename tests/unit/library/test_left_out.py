"""Counts of what a listing leaves out."""

from core.library.left_out import MAX_REASONS, add_counts, as_text


def test_counts_add_up_and_the_most_come_first():
    counts = add_counts({".jpg": 300, "system_folder": 1}, {".jpg": 12, ".cue": 12, "system_folder": 2})
    assert as_text(counts) == "312 .jpg, 12 .cue, 3 system folders"
    assert as_text({"no_suffix": 1, "apple_double": 2}) == "2 AppleDouble files, 1 file without a suffix"


def test_many_reasons_are_one_beyond_a_bound_and_nothing_is_lost():
    counts: dict[str, int] = {}
    for number in range(3 * MAX_REASONS):
        counts = add_counts(counts, {f".{number}x": 1, ".jpg": 1})
    assert len(counts) == MAX_REASONS + 1
    assert sum(counts.values()) == 6 * MAX_REASONS
    assert counts["other"] == 2 * MAX_REASONS + 1
