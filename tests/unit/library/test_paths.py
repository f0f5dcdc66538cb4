"""Nothing outside of a library can be opened through it."""

import errno
import os
import re
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest

from core.errors import Disappeared, Invalid, ItemError, MFAError, NotAFile, OutsideLibrary, Unreadable
from core.library.paths import find_beneath, open_beneath, open_folder, status_beneath, validate_relative
from tests.support.swapping import swapping

SECRET = b"secret"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library with one song in a folder, and a secret outside of it."""
    (tmp_path / "secret.mp3").write_bytes(SECRET)
    root = tmp_path / "library"
    (root / "album").mkdir(parents=True)
    (root / "album" / "song.mp3").write_bytes(b"song")
    return root


@pytest.mark.parametrize(
    "path",
    [
        "a.mp3",
        "album/song.mp3",
        "ä/ö 音楽.mp3",
        "AC\\DC.mp3",
        "C:a.mp3",
        "...mp3",
        "a..b/c",
        "%2e%2e/a.mp3",
        " a ",
    ],
)
def test_ordinary_paths_are_valid(path):
    assert validate_relative(path) == PurePosixPath(path)


def test_the_library_itself_is_a_valid_path():
    assert validate_relative("").parts == ()


def test_a_slash_at_the_end_of_a_folder_is_accepted():
    assert validate_relative("Rock/Live/") == PurePosixPath("Rock/Live")


COMPOSED, DECOMPOSED = "Caf\u00e9", "Cafe\u0301"


@pytest.mark.parametrize(("wanted", "stored"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_a_path_is_found_in_another_unicode_form(tmp_path, wanted, stored):
    (tmp_path / stored / "x" / stored).mkdir(parents=True)
    assert find_beneath(tmp_path, f"{wanted}/x/{wanted}/") == f"{stored}/x/{stored}"
    assert find_beneath(tmp_path, f"{stored}/x/{wanted}") == f"{stored}/x/{stored}"
    assert find_beneath(tmp_path, f"{wanted}/gone/{wanted}") == f"{stored}/gone/{wanted}"
    assert find_beneath(tmp_path, wanted.upper()) == wanted.upper()
    assert find_beneath(tmp_path / "gone", wanted) == wanted
    assert find_beneath(tmp_path, "") == ""


def test_a_path_as_it_is_goes_before_other_unicode_forms(tmp_path):
    for name in (COMPOSED, DECOMPOSED):
        (tmp_path / name).mkdir()
    assert [find_beneath(tmp_path, name) for name in (COMPOSED, DECOMPOSED)] == [COMPOSED, DECOMPOSED]


def test_another_unicode_form_is_not_searched_for_through_links(tmp_path):
    (tmp_path / "outside" / DECOMPOSED).mkdir(parents=True)
    root = tmp_path / "library"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    assert find_beneath(root, f"link/{COMPOSED}") == f"link/{COMPOSED}"
    with pytest.raises(OutsideLibrary):
        find_beneath(root, "../outside")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "//etc/passwd",
        "..",
        "../a",
        "a/../b",
        "a/..",
        "..\\a",
        "a\\..\\..\\b",
        "\\a",
        "C:\\a",
        "a/..\\b",
    ],
)
def test_paths_that_lead_out_are_outside(path):
    with pytest.raises(OutsideLibrary):
        validate_relative(path)


@pytest.mark.parametrize("path", ["a\0b", "a//b", "a//", "./a", "a/./b", ".", "a/\udcff.mp3"])
def test_ambiguous_paths_are_invalid(path):
    with pytest.raises(Invalid):
        validate_relative(path)


def test_a_file_below_is_opened(library):
    with open_beneath(library, "album/song.mp3") as file:
        assert file.read() == b"song"
        assert not os.get_inheritable(file.fileno())


def test_the_library_may_itself_be_a_link(library, tmp_path):
    (tmp_path / "link").symlink_to(library)
    with open_beneath(tmp_path / "link", "album/song.mp3") as file:
        assert file.read() == b"song"


def test_a_hard_link_is_a_file_like_any_other(library):
    os.link(library / "album" / "song.mp3", library / "again.mp3")
    with open_beneath(library, "again.mp3") as file:
        assert file.read() == b"song"


def test_percent_signs_are_not_decoded(library):
    with pytest.raises(Disappeared):
        open_beneath(library, "%2e%2e/secret.mp3")


@pytest.mark.parametrize("target", ["../../secret.mp3", "song.mp3", "/etc/passwd", "nowhere"])
def test_a_linked_file_is_not_opened(library, target):
    (library / "album" / "link.mp3").symlink_to(target)
    with pytest.raises(OutsideLibrary, match="link"):
        open_beneath(library, "album/link.mp3")


@pytest.mark.parametrize("target", ["..", "album", "/", "nowhere"])
def test_a_linked_folder_is_not_entered(library, target):
    (library / "link").symlink_to(target)
    with pytest.raises(OutsideLibrary, match="link"):
        open_beneath(library, "link/song.mp3")


@pytest.mark.parametrize("path", ["gone.mp3", "gone/song.mp3", "album/song.mp3/x.mp3", "x" * 300 + ".mp3"])
def test_what_is_not_there_has_disappeared(library, path):
    with pytest.raises(Disappeared):
        open_beneath(library, path)


def test_a_library_that_is_not_there_has_disappeared(tmp_path):
    with pytest.raises(Disappeared):
        open_beneath(tmp_path / "gone", "a.mp3")


def test_a_folder_with_the_name_of_a_song_is_no_file(library):
    (library / "x.mp3").mkdir()
    with pytest.raises(NotAFile):
        open_beneath(library, "x.mp3")
    with pytest.raises(NotAFile):
        open_beneath(library, "")


def test_a_pipe_is_no_file_and_does_not_block(library):
    os.mkfifo(library / "pipe.mp3")
    with pytest.raises(NotAFile):
        open_beneath(library, "pipe.mp3")


def test_a_socket_is_no_file(library, monkeypatch):
    import socket

    monkeypatch.chdir(library)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.mp3")
        with pytest.raises(NotAFile):
            open_beneath(library, "socket.mp3")


def test_a_folder_is_opened_to_be_listed(library):
    descriptor = open_folder(library, ["album"])
    assert os.listdir(descriptor) == ["song.mp3"]
    os.close(descriptor)


def as_nobody(library: Path, relative: str) -> str:
    """Code of the error that an ordinary user meets; tests may run as root, who may read everything."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        code = b"unexpected"
        try:
            if os.geteuid() == 0:
                os.chdir(library)  # the folders above are root's own
                os.setgid(65534)
                os.setuid(65534)
                library = Path(".")
            open_beneath(library, relative).close()
            code = b"opened"
        except MFAError as error:
            code = error.code.encode()
        finally:
            os.write(write_end, code)
            os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    with os.fdopen(read_end) as answer:
        return answer.read()


def test_a_file_that_may_not_be_read_is_unreadable(library):
    library.chmod(0o755)
    assert as_nobody(library, "album/song.mp3") == "opened"
    (library / "album" / "song.mp3").chmod(0)
    assert as_nobody(library, "album/song.mp3") == "unreadable"


def test_a_folder_that_may_not_be_entered_is_unreadable(library):
    (library / "album").chmod(0)
    assert as_nobody(library, "album/song.mp3") == "unreadable"
    (library / "album").chmod(0o700)


def test_too_many_open_files_are_not_the_fault_of_the_file(library, monkeypatch):
    def fail(*args: object, **kwargs: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(OSError, match="Too many"):
        open_beneath(library, "album/song.mp3")


def test_other_errors_of_the_disk_are_unreadable(library, monkeypatch):
    def fail(*args: object, **kwargs: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(Unreadable, match="Input/output"):
        open_beneath(library, "album/song.mp3")


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EINTR, errno.ESTALE, errno.EHOSTDOWN, errno.EMFILE])
@pytest.mark.parametrize("call", [open_beneath, status_beneath])
def test_a_fault_of_the_machine_is_not_laid_to_the_file(library, monkeypatch, number, call):
    def fail(*args: object, **kwargs: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        call(library, "album/song.mp3")


@pytest.mark.parametrize("swapped", ["album", "album/song.mp3"])
def test_swapping_in_a_link_while_opening_never_leads_outside(library, tmp_path, swapped):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "song.mp3").write_bytes(SECRET)
    link = tmp_path / "link"
    link.symlink_to(outside if swapped == "album" else outside / "song.mp3")
    outcomes = Counter[bytes]()
    with swapping(library / swapped, link):
        for _ in range(10_000):
            try:
                with open_beneath(library, "album/song.mp3") as file:
                    outcomes[file.read()] += 1
            except ItemError as error:
                outcomes[error.code.encode()] += 1
    assert outcomes.keys() <= {b"song", b"outside_library", b"disappeared"}
    assert outcomes[b"song"], outcomes
    assert outcomes[b"outside_library"], outcomes


def test_no_descriptor_is_left_open(library):
    (library / "x.mp3").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    open_beneath(library, "album/song.mp3").close()
    for path in ["x.mp3", "gone.mp3", "gone/a.mp3", "album/song.mp3/a.mp3"]:
        with pytest.raises(ItemError):
            open_beneath(library, path)
    assert len(os.listdir("/proc/self/fd")) == before
