"""Exports as text."""

import csv
import io
import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import schemas
from api.exports import as_csv, as_json, as_json_lines
from core.output.spreadsheets import guard

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def result(path: str, **overrides: object) -> schemas.Result:
    values = {
        "track_id": UUID(int=1),
        "path": path,
        "duration_s": 12.5,
        "labels": [schemas.Label(label="rock", score=0.5)],
        "model": "m@1",
    }
    return schemas.Result.model_validate(values | overrides)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_what_a_spreadsheet_would_calculate_is_made_text(start):
    assert guard(f"{start}1+1") == f"'{start}1+1"


@pytest.mark.parametrize("text", ["", "a=b", " =1", "'=1", "é", "1"])
def test_other_text_stays_as_it_is(text):
    assert guard(text) == text


@given(st.lists(TEXT, max_size=5))
def test_csv_survives_any_name(paths):
    text = "".join(as_csv(iter([[result(path) for path in paths]]), []))
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [row[1].removeprefix("'") for row in rows] == [path.removeprefix("'") for path in paths]
    assert not any(row[1].startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for row in rows)
    assert all(row[2] == "12.5" for row in rows)


@given(st.lists(st.lists(TEXT, min_size=1, max_size=3), max_size=3))
def test_json_is_one_array_however_it_is_cut_into_pages(pages):
    paths = [path for page in pages for path in page]
    results = [[result(path) for path in page] for page in pages]
    assert [each["path"] for each in json.loads("".join(as_json(iter(results))))] == paths
    lines = "".join(as_json_lines(iter(results))).split("\n")[:-1]
    assert [json.loads(line)["path"] for line in lines] == paths


def test_scores_are_numbers_in_columns_of_their_own():
    scored = result("a.mp3", scores={"rock": 0.5, "=jazz": 0.25})
    rows = list(csv.reader(io.StringIO("".join(as_csv(iter([[scored]]), ["rock", "=jazz"])), newline="")))
    assert rows[0][-2:] == ["rock", "'=jazz"]
    assert rows[1][-2:] == ["0.5", "0.25"]
