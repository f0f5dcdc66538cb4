"""Queries of tracks that are saved under a name."""

import pytest

from tests.integration.api.gateway import problem_of

QUERIES = "/api/v1/queries"


def save(http, name: str, query: str):
    return http.put(f"{QUERIES}/{name}", json={"query": query})


def test_a_query_is_saved_in_one_form_replaced_and_deleted(http):
    first = save(
        http, "sad evenings", "?sort=score&genre=sad:0.4..&text=&not_genre=metal&year=0999&missing=false"
    )
    assert first.status_code == 201
    saved = first.json()
    assert (saved["name"], saved["query"]) == (
        "sad evenings",
        "genre=sad%3A0.4..&not_genre=metal&year=999&sort=score",
    )
    again = save(http, "sad evenings", "corrected=true&library=a+b")
    assert (again.status_code, again.json()["query"]) == (200, "library=a+b&corrected=true")
    assert again.json()["created_at"] == saved["created_at"]
    assert again.json()["updated_at"] > saved["updated_at"]
    assert http.get(f"{QUERIES}/sad evenings").json() == again.json()
    save(http, "all", "")
    assert [each["name"] for each in http.get(QUERIES).json()["items"]] == ["all", "sad evenings"]
    assert http.delete(f"{QUERIES}/all").status_code == 204
    for answer in (http.get(f"{QUERIES}/all"), http.delete(f"{QUERIES}/all")):
        assert problem_of(answer, 404) == "query_not_found"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("gnre=sad", "has no parameter 'gnre'"),
        ("cursor=abc", "has no parameter 'cursor'"),
        ("year=soon", "wrong `year`"),
        ("sort=loudness", "wrong `sort`"),
        ("library=a&library=b", "names `library` more than once"),
        ("genre=sad:0.5", "names no range of scores"),
        ("text=%21", "names no word"),
        ("text=%ff", "cannot be read"),
        ("&".join(["genre=sad"] * 200), "cannot be read"),
        ("&".join(["genre=sad"] * 21), "wrong `genre`"),
    ],
)
def test_a_query_that_tracks_do_not_have_is_refused(http, query, said):
    answer = save(http, "mine", query)
    assert problem_of(answer, 422) == "invalid"
    assert said in answer.json()["detail"]
    assert http.get(QUERIES).json()["items"] == []


@pytest.mark.parametrize("name", ["%2e%2e%2e", "x" * 101, "%07"])
def test_names_can_stand_in_addresses(http, name):
    assert problem_of(save(http, name, "genre=sad"), 422) == "invalid"


def test_only_so_many_queries_are_saved(http, monkeypatch):
    monkeypatch.setattr("core.store.saved_queries.MOST_QUERIES", 1)
    assert save(http, "one", "").status_code == 201
    assert problem_of(save(http, "two", ""), 409) == "too_many_queries"
    assert save(http, "one", "genre=sad").status_code == 200
