"""The hash of a whole file."""

import hashlib

import pytest

from core.library.content import file_hash


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (2 << 20) + 5])
def test_it_is_the_sha256_of_all_bytes(tmp_path, size):
    data = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "a").write_bytes(data[:size])
    with (tmp_path / "a").open("rb") as file:
        assert file_hash(file) == hashlib.sha256(data[:size]).digest()


def test_the_position_stays(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    with (tmp_path / "a").open("rb") as file:
        file.read(3)
        file_hash(file)
        assert file.read() == b"3456789"
