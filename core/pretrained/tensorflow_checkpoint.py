"""Reads a TensorFlow checkpoint (`.index` table, `.data` file) without TensorFlow; verifies every checksum.

The index is a leveldb table (https://github.com/google/leveldb/blob/main/doc/table_format.md) from a tensor's
name to a `BundleEntryProto` (tensorflow/core/protobuf/tensor_bundle.proto).
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

FOOTER_BYTES = 48
MAGIC = 0xDB4775248B80FB57
BLOCK_TRAILER = struct.Struct("<BI")  # compression type, masked CRC of the block and that type
DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    9: np.dtype("<i8"),
}


class CheckpointError(ValueError):
    """The checkpoint is damaged or not supported."""


@dataclass(frozen=True)
class Entry:
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    size: int
    masked_crc: int


def read_tensors(index: bytes, data: bytes, wanted: Callable[[str], bool]) -> dict[str, np.ndarray]:
    """The tensors with a `wanted` name, of a checkpoint with one data file. Raises CheckpointError."""
    tensors = {}
    for key, value in _table_items(index):
        name = key.decode()
        if name and wanted(name):
            tensors[name] = _tensor(name, _entry(name, value), data)
    return tensors


def _tensor(name: str, entry: Entry, data: bytes) -> np.ndarray:
    raw = data[entry.offset : entry.offset + entry.size]
    if len(raw) != entry.size or entry.size != entry.dtype.itemsize * int(np.prod(entry.shape)):
        raise CheckpointError(f"{name}: the data file and the index disagree about its size")
    if masked_crc32c(raw) != entry.masked_crc:
        raise CheckpointError(f"{name}: the checksum of its data is wrong")
    return np.frombuffer(raw, entry.dtype).reshape(entry.shape).copy()


def _entry(name: str, message: bytes) -> Entry:
    fields = dict(_fields(message))
    shape = tuple(
        _int(dict(_fields(_bytes(dimension))).get(1, 0))
        for number, dimension in _fields(_bytes(fields.get(2, b"")))
        if number == 2
    )
    dtype = DTYPES.get(_int(fields.get(1, 0)))
    if dtype is None or _int(fields.get(3, 0)) != 0 or 7 in fields:
        raise CheckpointError(f"{name}: only whole numeric tensors in one data file are supported")
    return Entry(dtype, shape, _int(fields.get(4, 0)), _int(fields.get(5, 0)), _int(fields.get(6, 0)))


def _table_items(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    footer = table[-FOOTER_BYTES:]
    if len(footer) < FOOTER_BYTES or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise CheckpointError("this is not a checkpoint index")
    _, position = _handle(footer, 0)
    (offset, size), _ = _handle(footer, position)
    for _, handle in _block_items(_block(table, offset, size)):
        (offset, size), _ = _handle(handle, 0)
        yield from _block_items(_block(table, offset, size))


def _block(table: bytes, offset: int, size: int) -> bytes:
    end = offset + size
    if end + BLOCK_TRAILER.size > len(table):
        raise CheckpointError("the index is cut off")
    compression, masked_crc = BLOCK_TRAILER.unpack_from(table, end)
    if masked_crc32c(table[offset : end + 1]) != masked_crc:
        raise CheckpointError("the checksum of the index is wrong")
    if compression:
        raise CheckpointError("compressed indexes are not supported")
    return table[offset:end]


def _block_items(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Items of a block, whose keys share a prefix with the previous key; restart points are ignored."""
    restarts = struct.unpack("<I", block[-4:])[0]
    end = len(block) - 4 * (restarts + 1)
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        unshared, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + length]
        position += length


def _handle(buffer: bytes, position: int) -> tuple[tuple[int, int], int]:
    offset, position = _varint(buffer, position)
    size, position = _varint(buffer, position)
    return (offset, size), position


def _varint(buffer: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(buffer):
            raise CheckpointError("the index is cut off")
        byte = buffer[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field number and raw value of a protocol buffer: varint, length-delimited and 32-bit fields."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, position = _varint(message, position)
            yield number, value
        elif wire_type == 2:
            length, position = _varint(message, position)
            yield number, message[position : position + length]
            position += length
        elif wire_type == 5:
            yield number, int.from_bytes(message[position : position + 4], "little")
            position += 4
        else:
            raise CheckpointError(f"unexpected wire type {wire_type}")


def _int(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise CheckpointError("a number was expected")
    return value


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise CheckpointError("a message was expected")
    return value


def masked_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), rotated and offset as leveldb and TensorFlow store it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC_TABLE = _crc_table()
