"""Tables of values, as a pipe gets them."""

from collections.abc import Iterator

import pytest

from core.output.tables import show_table
from core.output.terminal import console


def test_through_a_pipe_each_row_is_written_when_it_has_come(monkeypatch, capsys):
    monkeypatch.setattr(console, "_force_terminal", False)

    def rows() -> Iterator[tuple[int, str]]:
        yield 1, "a\tb"
        assert capsys.readouterr().out == "number\ttext\n1\ta\\tb\n"
        raise InterruptedError

    with pytest.raises(InterruptedError):
        show_table("", ("number", "text"), rows())
