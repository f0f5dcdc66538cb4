import struct

import numpy as np
import pytest

from core.pretrained.tensorflow_checkpoint import CheckpointError, masked_crc32c, read_tensors

VALUES = np.array([[1.5, -2.0, 3.25]], dtype="<f4")
COUNTS = np.array([7, 8], dtype="<i8")


def varint(value: int) -> bytes:
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def entry(dtype: int, array: np.ndarray, offset: int) -> bytes:
    """A BundleEntryProto; fields that are zero are left out, as TensorFlow does."""
    dimensions = b"".join(b"\x12" + varint(2) + b"\x08" + varint(size) for size in array.shape)
    fields = b"\x08" + varint(dtype) + b"\x12" + varint(len(dimensions)) + dimensions
    if offset:
        fields += b"\x20" + varint(offset)
    return (
        fields + b"\x28" + varint(array.nbytes) + b"\x35" + struct.pack("<I", masked_crc32c(array.tobytes()))
    )


def block(items: list[tuple[bytes, bytes]]) -> bytes:
    """Keys share prefixes; one restart point; trailer of compression type and checksum."""
    content, last = b"", b""
    for key, value in items:
        shared = next(
            (i for i, (a, b) in enumerate(zip(key, last, strict=False)) if a != b), min(len(key), len(last))
        )
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    content += struct.pack("<II", 0, 1)
    return content + b"\x00" + struct.pack("<I", masked_crc32c(content + b"\x00"))


def make_index(value_entry: bytes | None = None) -> bytes:
    items = [
        (b"", b"\x08\x01"),
        (b"layer/counts", entry(9, COUNTS, VALUES.nbytes)),
        (b"layer/values", value_entry or entry(1, VALUES, 0)),
    ]
    data = block(items)
    handle = varint(0) + varint(len(data) - 5)
    index = block([(b"layer/values", handle)])
    footer = varint(0) + varint(0) + varint(len(data)) + varint(len(index) - 5)
    return data + index + footer.ljust(40, b"\x00") + struct.pack("<Q", 0xDB4775248B80FB57)


DATA = VALUES.tobytes() + COUNTS.tobytes()


def everything(name: str) -> bool:
    return True


def test_crc_is_the_published_one():
    """Check value of CRC-32C for "123456789" is 0xE3069283; leveldb rotates by 15 and adds a constant."""
    crc = 0xE3069283
    assert masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_tensors_come_back_with_shape_and_type():
    tensors = read_tensors(make_index(), DATA, everything)
    assert set(tensors) == {"layer/values", "layer/counts"}
    np.testing.assert_array_equal(tensors["layer/values"], VALUES)
    np.testing.assert_array_equal(tensors["layer/counts"], COUNTS)
    assert tensors["layer/counts"].dtype == np.int64


def test_only_wanted_tensors_are_read():
    assert set(read_tensors(make_index(), b"", lambda name: False)) == set()


@pytest.mark.parametrize("position", [0, len(DATA) - 1])
def test_changed_data_is_refused(position):
    changed = bytearray(DATA)
    changed[position] ^= 1
    with pytest.raises(CheckpointError, match="checksum of its data"):
        read_tensors(make_index(), bytes(changed), everything)


def test_cut_off_data_is_refused():
    with pytest.raises(CheckpointError, match="disagree about its size"):
        read_tensors(make_index(), DATA[:-1], everything)


def test_every_changed_byte_of_the_index_is_refused():
    index = make_index()
    footer = 48
    for position in range(len(index) - footer):
        changed = bytearray(index)
        changed[position] ^= 0x10
        with pytest.raises(CheckpointError):
            read_tensors(bytes(changed), DATA, everything)


@pytest.mark.parametrize("index", [b"", b"short", bytes(100)])
def test_what_is_no_index_is_refused(index):
    with pytest.raises(CheckpointError, match="not a checkpoint index"):
        read_tensors(index, DATA, everything)


def test_unsupported_types_are_refused():
    with pytest.raises(CheckpointError, match="numeric tensors"):
        read_tensors(make_index(entry(7, VALUES, 0)), DATA, everything)
