"""Cursors: opaque, and refused when they are not one's own."""

from datetime import UTC, datetime
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from core.errors import InvalidCursor
from core.store.cursor import cut_page, decode_cursor, encode_cursor


@settings(deadline=None, derandomize=True)
@given(st.datetimes(), st.uuids(), st.integers(0, 2**63 - 1), st.floats(0, 1, width=32))
def test_a_cursor_gives_back_the_key_it_was_made_of(moment, row_id, number, score):
    moment = moment.replace(tzinfo=UTC)
    cursor = encode_cursor(moment, row_id, number, score)
    assert decode_cursor(cursor, datetime.fromisoformat, UUID, int, float) == (moment, row_id, number, score)
    assert cursor.replace("-", "").replace("_", "").isalnum()


@settings(deadline=None, derandomize=True)
@given(st.text())
def test_anything_else_is_refused_and_never_an_accident(cursor):
    with pytest.raises(InvalidCursor):
        decode_cursor(cursor, UUID, UUID)


@pytest.mark.parametrize("key", [(), (1,), (1, 2, 3), ("x", 1)])
def test_a_cursor_of_another_list_is_refused(key):
    with pytest.raises(InvalidCursor):
        decode_cursor(encode_cursor(*key), int, int)


def test_a_page_names_the_next_one_only_when_there_is_more():
    assert cut_page([1, 2, 3], 3, lambda row: (row,)).next_cursor is None
    page = cut_page([1, 2, 3, 4], 3, lambda row: (row,))
    assert page.items == [1, 2, 3]
    assert decode_cursor(page.next_cursor or "", int) == (3,)
    assert cut_page([], 3, lambda row: (row,)).next_cursor is None
