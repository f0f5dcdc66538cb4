"""Analyses of the tracks that a query finds: each once, whatever interrupts the plan."""

import pytest

from core.errors import Invalid, ModelNotFound
from core.states import JobState, UnitState
from tests.integration.workers.music import Music
from tests.integration.workers.test_planning import Killed, dies_after, plan_unit, planned_paths
from tests.support.planned import expire, read_job, read_unit, reap
from tests.support.worker import run
from workers import planning

pytestmark = pytest.mark.usefixtures("tagger")
PATHS = [f"{folder}/{number}.mp3" for folder in ("a", "b") for number in range(5)]


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch):
    monkeypatch.setattr(planning, "PAGE", 2)


def by_id(music: Music, paths: list[str]) -> list[str]:
    """In the order of the ids of the tracks."""
    return sorted(paths, key=lambda path: music.track(path).id)


def test_only_what_the_query_finds_is_labelled_again(music, tagger):
    music.add(*PATHS)
    music.label()
    new = "a/new.mp3"
    music.add(new)  # nobody has listed it
    job_id = music.label(query="text=b&sort=path", force=True)
    assert set(music.outcomes(job_id).values()) == {"done"}
    assert sorted(music.outcomes(job_id)) == PATHS[5:]
    job = read_job(music.sessions, job_id)
    assert (job.state, job.total, job.params["query"]) == (
        JobState.SUCCEEDED,
        5,
        "text=b&model=test-model%401",
    )
    assert music.outcomes(music.label(query="text=b")) == dict.fromkeys(by_id(music, PATHS[5:]), "skipped")
    assert music.outcomes(music.label(query="text=nothing")) == {}


@pytest.mark.parametrize("after_commit", [True, False])
@pytest.mark.parametrize("pages", [1, 2, 3])
def test_a_killed_planner_of_a_query_resumes(music, pages, after_commit):
    music.add(*PATHS)
    music.label()
    job_id = music.submit(query="text=b", force=True)
    unit_id = plan_unit(music, job_id)
    with pytest.raises(Killed):
        run(music.sessions, unit_id, dies_after(pages, after_commit=after_commit))
    expire(music.sessions, unit_id)
    assert reap(music.sessions) == 1
    run(music.sessions, unit_id)
    assert planned_paths(music, job_id) == by_id(music, PATHS[5:])
    assert read_unit(music.sessions, unit_id).state == UnitState.DONE
    assert read_job(music.sessions, job_id).total == 5


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"query": "gnre=rock"}, Invalid),
        ({"query": "genre=polka"}, Invalid),
        ({"query": "genre=rock:0.5"}, Invalid),
        ({"query": "library=other"}, Invalid),
        ({"query": "text=b", "path": "a"}, Invalid),
        ({"query": "model=nothing"}, ModelNotFound),
    ],
)
def test_a_query_that_finds_nothing_by_mistake_is_refused(music, params, error):
    with pytest.raises(error):
        music.submit(**params)


def test_a_query_may_name_the_library_of_the_job(music):
    music.add("a/1.mp3")
    music.label()
    assert music.outcomes(music.label(query="library=music")) == {"a/1.mp3": "skipped"}
