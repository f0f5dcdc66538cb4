"""A file that is no configuration is told in one sentence."""

import pytest

from core.config.yaml_files import read_mapping
from core.errors import InvalidConfig


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not a text file in UTF-8"),
        (b"RIFF\x00\x00WAVE", "is not a text file in UTF-8"),
        ("name: caf\xe9".encode("latin-1"), "is not a text file in UTF-8"),
        ("name: x".encode("utf-16"), "is not a text file in UTF-8"),
        (b"a: [1, 2\nb: 3", "is not YAML: while parsing a flow sequence"),
        (b"a: 2020-13-45", "is not YAML: month must be in 1..12"),
        (b"[" * 5000, "is nested too deeply"),
        (b"just words", "must hold keys and values"),
        (b"", "must hold keys and values"),
    ],
)
def test_what_is_no_configuration_is_one_sentence(tmp_path, content, sentence):
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(InvalidConfig) as raised:
        read_mapping(tmp_path / "x.yaml")
    assert sentence in raised.value.detail
    assert "\n" not in raised.value.detail


def test_a_folder_or_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidConfig, match="cannot be read: Is a directory"):
        read_mapping(tmp_path)
    with pytest.raises(InvalidConfig, match="There is no file"):
        read_mapping(tmp_path / "gone.yaml")


def test_a_byte_order_mark_is_no_content(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_mapping(tmp_path / "x.yaml") == {"a": 1}
