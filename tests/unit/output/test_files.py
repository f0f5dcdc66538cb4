"""Files that commands write."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from core.output.files import check_file, whole_file


def test_a_link_stays_and_the_file_it_names_is_replaced(tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    with whole_file(tmp_path / "link.csv") as out:
        out.write(b"new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "new"


def test_what_is_no_regular_file_is_written_to_as_it_is(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert check_file(pipe) == pipe
    with whole_file(pipe) as out:
        out.write(b"new")
    assert os.read(reader, 10) == b"new"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert check_file(Path("/dev/null")) == Path("/dev/null")


def test_no_file_beside_it_is_touched_and_an_error_leaves_what_was_there(tmp_path):
    for name in ("x.csv", "x.csv.part"):
        (tmp_path / name).write_text("old")
    with suppress(RuntimeError), whole_file(tmp_path / "x.csv") as out:
        out.write(b"half")
        raise RuntimeError
    found = {each.name: each.read_text() for each in tmp_path.iterdir()}
    assert found == {"x.csv": "old", "x.csv.part": "old"}
