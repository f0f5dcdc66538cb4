"""Pickles are read as data: nothing that they name is looked up, and nothing is called."""

import pickle

import numpy as np
import pytest

from core.ml.datasets.errors import DatasetMalformed
from core.ml.datasets.plain_pickle import StoredArray, loads

# As Python 2 and its numpy wrote them.
IDS = b"(lp1\nS'TRAAAAW128F429D538'\np2\naS'TRAAADJ128F4287B47'\np3\na."
PATHS = b"(dp1\nS'8947470'\np2\nS'8/9/8947470.clip.mp3'\np3\nsI7\nS\"it's \\xe4 \\\\\"\np4\ns."
ARRAYS = (
    b"(dp1\nS'a'\np2\ncnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n(I0\ntp5\nS'b'\np6\ntp7\nRp8\n"
    b"(I1\n(I2\nI1\ntp9\ncnumpy\ndtype\np10\n(S'f8'\np11\nI0\nI1\ntp12\nRp13\n(I3\nS'<'\np14\nNNNI-1\nI-1\nI0\ntp15\n"
    b"bI00\nS'\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00'\np16\ntp17\nbs"
    b"S'b'\np18\ng3\n(g4\n(I0\ntp19\ng6\ntp20\nRp21\n(I1\n(I2\nI1\ntp22\ng13\nI00\n"
    b"S'\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?'\np23\ntp24\nbs."
)


def test_lists_of_python_2_are_read():
    assert loads(IDS) == ["TRAAAAW128F429D538", "TRAAADJ128F4287B47"]


def test_dicts_of_python_2_are_read():
    assert loads(PATHS) == {"8947470": "8/9/8947470.clip.mp3", 7: "it's ä \\"}


def test_arrays_are_read_as_numbers():
    found = loads(ARRAYS)
    assert isinstance(found["a"], StoredArray)
    assert found["a"].values.tolist() == [1.0, 0.0]
    assert found["b"].values.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    "value",
    [[], {}, (), ["ä", "\n", "\\u0041", "日"], {"a": [1, -2, 2.5, None, True, False, 10**30, ("x",)]}],
)
def test_plain_values_of_this_python_are_read(value):
    assert loads(pickle.dumps(value, protocol=0)) == value


@pytest.mark.parametrize(
    "attack",
    [
        b"cos\nsystem\n(S'touch hacked'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nndarray\n(I3\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"(S'touch hacked'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch hacked'\no.",
        b"\x80\x02cos\nsystem\n.",
        pickle.dumps(np.array([object()], dtype=object), protocol=0),
        ARRAYS.replace(b"S'f8'", b"S'O8'"),
        ARRAYS.replace(b"I2\nI1\n", b"I9\nI9\n"),
        b"(dS'a'\nb.",
    ],
)
def test_anything_else_is_refused_and_nothing_happens(attack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetMalformed):
        loads(attack)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage", [b"", b".", b"S'a", b"S'a\n.", b"a.", b"t.", b"(l", b"I1\nI2\n.", b"g9\n.", b"I\n."]
)
def test_damaged_files_are_refused(damage):
    with pytest.raises(DatasetMalformed, match="not a pickle of plain values"):
        loads(damage)
