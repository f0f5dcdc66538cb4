"""Reads pickles of plain values without the pickle module: no name in the file is imported or called.

Supports protocol 0, the text format of Python 2, with lists, dicts, tuples, strings, numbers and numeric
arrays. Anything else is refused.
"""

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.ml.datasets.errors import DatasetMalformed

_MARK = object()
_ARRAY, _ARRAY_TYPE, _ARRAY_KIND = "numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"
_KINDS = frozenset({"b1", "i1", "u1", "i2", "i4", "i8", "u2", "u4", "u8", "f4", "f8"})
_ORDERS = frozenset({"<", ">", "|", "="})


class _Kind:
    """The data type of an array, which is set in two steps."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def dtype(self) -> np.dtype[Any]:
        if self.code not in _KINDS or self.order not in _ORDERS:
            raise ValueError(f"an array of {self.order}{self.code}")
        return np.dtype(self.order + self.code)


@dataclass
class StoredArray:
    """An array in a pickle: its flat values (T,)."""

    values: npt.NDArray[Any]


def loads(data: bytes) -> Any:
    """The value in a pickle; arrays are `StoredArray`. Raises DatasetMalformed."""
    try:
        return _Reader(data).read()
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DatasetMalformed(f"This is not a pickle of plain values: {error!r}.") from error


class _Reader:
    """The stack machine of the pickle format."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0
        self._stack: list[Any] = []
        self._memo: dict[str, Any] = {}
        self._steps: dict[bytes, Callable[[], None]] = {
            b"(": lambda: self._stack.append(_MARK),
            b"l": lambda: self._stack.append(self._since_mark()),
            b"t": lambda: self._stack.append(tuple(self._since_mark())),
            b"d": self._dict,
            b"a": self._append,
            b"s": self._set_item,
            b"p": self._put,
            b"g": lambda: self._stack.append(self._memo[self._line()]),
            b"S": lambda: self._stack.append(self._string()),
            b"V": lambda: self._stack.append(self._line().encode("latin-1").decode("raw-unicode-escape")),
            b"I": self._int,
            b"L": lambda: self._stack.append(int(self._line().rstrip("L"))),
            b"F": lambda: self._stack.append(float(self._line())),
            b"N": lambda: self._stack.append(None),
            b"c": self._name,
            b"R": self._reduce,
            b"b": self._build,
        }

    def read(self) -> Any:
        while (code := self._data[self._position : self._position + 1]) != b".":
            if code not in self._steps:
                raise ValueError(f"{code!r} at byte {self._position}")
            self._position += 1
            self._steps[code]()
        (value,) = self._stack
        return value

    def _line(self) -> str:
        end = self._data.index(b"\n", self._position)
        line = self._data[self._position : end]
        self._position = end + 1
        return line.decode("latin-1")

    def _string(self) -> str:
        line = self._line().rstrip("\r")
        if len(line) < 2 or line[0] not in "'\"" or line[0] != line[-1]:
            raise ValueError("a string without quotes")
        content, _ = codecs.escape_decode(line[1:-1].encode("latin-1"))
        return content.decode("latin-1")

    def _int(self) -> None:
        line = self._line()
        self._stack.append(line == "01" if line in ("00", "01") else int(line))

    def _since_mark(self) -> list[Any]:
        mark = len(self._stack) - 1
        while self._stack[mark] is not _MARK:
            mark -= 1
            if mark < 0:
                raise ValueError("a mark is missing")
        values = self._stack[mark + 1 :]
        del self._stack[mark:]
        return values

    def _dict(self) -> None:
        values = self._since_mark()
        self._stack.append(dict(zip(values[::2], values[1::2], strict=True)))

    def _append(self) -> None:
        value = self._stack.pop()
        list.append(self._stack[-1], value)

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        dict.__setitem__(self._stack[-1], key, value)

    def _put(self) -> None:
        self._memo[self._line()] = self._stack[-1]

    def _name(self) -> None:
        name = f"{self._line()} {self._line()}"
        if name not in (_ARRAY, _ARRAY_TYPE, _ARRAY_KIND):
            raise ValueError(f"the name {name!r}")
        self._stack.append(name)

    def _reduce(self) -> None:
        arguments, name = self._stack.pop(), self._stack.pop()
        if name == _ARRAY:
            self._stack.append(StoredArray(np.empty(0)))
        elif name == _ARRAY_KIND:
            self._stack.append(_Kind(arguments[0]))
        else:
            raise ValueError(f"a call of {name!r}")

    def _build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, _Kind):
            target.order = state[1]
        elif isinstance(target, StoredArray):
            _version, shape, kind, _fortran, content = state
            target.values = np.frombuffer(content.encode("latin-1"), kind.dtype())
            if target.values.size != np.prod(shape, dtype=np.int64):
                raise ValueError(f"an array {shape} of {target.values.size} values")
        else:
            raise ValueError("the state of an object")
