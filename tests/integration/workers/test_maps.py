"""A map places all audio with an embedding, appears as a whole, and survives a kill."""

import time
from collections.abc import Sequence
from threading import Event
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import delete, select

from api.schemas import MapOutcome
from core.config.params import MapParams
from core.errors import LibraryNotFound, MapNotFound, ModelNotFound, NothingToDraw, NothingToRetry
from core.jobs.jobs import cancel_job
from core.jobs.kinds import SubmissionContext
from core.jobs.submission import retry_job, submit_job
from core.ml.maps import layout
from core.services.changes import delete_library
from core.services.sweep import sweep_maps
from core.states import JobState, Verdict
from core.store.correction_changes import NewCorrection, write_corrections
from core.store.maps import find_map, find_tracks_at
from core.store.registry import resolve_model
from core.store.session import SessionFactory, transaction
from core.store.tables import Embedding, Map, MapPoint
from tests.support.builders import make_analysed_track, make_library, make_model, make_track
from tests.support.planned import expire, make_due, read_job, read_unit, reap
from tests.support.worker import open_units, run, work_off
from workers import lease as lease_module
from workers import maps
from workers.lease import Lease, Stop

ME = SubmissionContext("me")
COUNT = 40


@pytest.fixture
def sessions(clean_database: SessionFactory, monkeypatch: pytest.MonkeyPatch) -> SessionFactory:
    """40 analysed tracks, half rock and half jazz, one of them twice; three have no point."""
    monkeypatch.setattr(layout, "ITERATIONS", 250)  # enough for so few
    random = np.random.default_rng(0)
    with transaction(clean_database) as session:
        home, other, model = (
            make_library(session, name="home"),
            make_library(session, name="other"),
            make_model(session),
        )
        for number in range(COUNT):
            is_jazz = number % 2
            vector = np.array([1 - is_jazz, is_jazz, 0.1, 0.1]) + 0.1 * random.normal(size=4)
            scores = [0.05, 0.8, 0.0] if is_jazz else [0.7, 0.05, 0.0]
            make_analysed_track(
                session, home, model, f"{number:02}", scores, vector.tolist(), content_hash=digest(number)
            )
        make_track(session, other, path="copy", content_hash=digest(0))
        make_track(session, home, path="unread")
        make_track(session, home, path="unheard", content_hash=b"u" * 32)
        make_track(session, home, path="gone", content_hash=b"g" * 32, missing_at=home.created_at)
        make_analysed_track(session, other, model, "elsewhere", content_hash=b"e" * 32)
    return clean_database


def digest(number: int) -> bytes:
    return bytes([number * 5]) * 32


def submit(sessions: SessionFactory, **params: Any) -> UUID:
    with transaction(sessions) as session:
        return submit_job(session, MapParams(**params), ME).job.id


def draw(sessions: SessionFactory, **params: Any) -> MapOutcome:
    job_id = submit(sessions, **params)
    work_off(sessions, job_id)
    job = read_job(sessions, job_id)
    assert job.state == JobState.SUCCEEDED, job.error_detail
    return MapOutcome.model_validate(job.result)


def current(sessions: SessionFactory, library: str | None = None) -> Map:
    with sessions() as session:
        columns = (Map.positions, Map.colours, Map.picture)
        return find_map(session, resolve_model(session, "default"), library, *columns)


def points_of(sessions: SessionFactory, map_id: UUID) -> Sequence[MapPoint]:
    with sessions() as session:
        query = select(MapPoint).where(MapPoint.map_id == map_id).order_by(MapPoint.place)
        return session.scalars(query).all()


def test_every_piece_of_audio_with_an_embedding_has_a_point_and_the_rest_is_counted(sessions):
    found = draw(sessions, library="home")
    assert (found.points, found.tracks, found.not_analysed, found.no_embedding) == (COUNT, COUNT + 2, 1, 1)
    assert (found.library, found.model, found.landmarks) == ("home", "test-model@1", COUNT)
    of_map = current(sessions, "home")
    points = points_of(sessions, of_map.id)
    assert [point.content_hash for point in points] == sorted(digest(number) for number in range(COUNT))
    assert of_map.positions == np.array([(p.x, p.y) for p in points], "<u2").tobytes()
    assert of_map.labels == ["jazz", "rock"]
    assert of_map.colours == bytes(1 if n % 2 else 2 for n in range(COUNT))
    assert (of_map.picture or b"").startswith(b"\x89PNG")
    assert found.trustworthiness is not None
    assert found.trustworthiness > 0.8
    assert {region["label"] for region in of_map.facts["regions"]} == {"rock", "jazz"}
    everywhere = draw(sessions)
    assert (everywhere.points, everywhere.tracks, everywhere.library) == (COUNT + 1, COUNT + 4, None)
    with sessions() as session:
        of_all = find_map(session, resolve_model(session, "default"), None)
        _, here = find_tracks_at(session, of_all, 0, 10)
        assert len(here) == 2  # the track and its copy


def test_tracks_are_placed_page_by_page_as_if_at_once(sessions, monkeypatch):
    draw(sessions, library="home")
    at_once = current(sessions, "home").positions
    monkeypatch.setattr(maps, "PAGE", 3)
    draw(sessions, library="home")
    assert current(sessions, "home").positions == at_once
    monkeypatch.setattr(maps, "MOST_LANDMARKS", 20)
    found = draw(sessions, library="home")
    assert (found.landmarks, found.points) == (20, COUNT)
    assert (found.trustworthiness or 0) > 0.8


def test_corrections_give_a_point_its_colour(sessions):
    with transaction(sessions) as session:
        said = [NewCorrection(digest(1), "jazz", Verdict.NO), NewCorrection(digest(0), "Ska", Verdict.YES)]
        write_corrections(session, said, author="me", origin="track")
    draw(sessions, library="home")
    of_map = current(sessions, "home")
    assert of_map.labels == ["jazz", "rock", "Ska"]
    assert (of_map.colours or b"")[:2] == bytes([3, 0])


class Killed(BaseException):
    """Nothing catches it, as nothing catches a SIGKILL."""


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_killed_map_starts_again_and_appears_once(sessions, monkeypatch, at):
    """In the middle of the points, before the map appears, and after that."""
    monkeypatch.setattr(maps, "PAGE", 8)
    monkeypatch.setattr(maps, "MOST_LANDMARKS", 8)
    before = draw(sessions, library="home").map_id
    name = "_save" if at == 1 else "_publish"
    calls, work = [0], getattr(maps, name)

    def dies(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == (3 if at == 1 else 1):
            if at == 3:
                work(*arguments, **named)
                arguments[0].commit()
            raise Killed
        return work(*arguments, **named)

    monkeypatch.setattr(maps, name, dies)
    job_id = submit(sessions, library="home")
    unit_id = open_units(sessions, job_id)[0].id
    with pytest.raises(Killed):
        run(sessions, unit_id)
    assert (current(sessions, "home").id == before) == (at < 3)
    expire(sessions, unit_id)
    reap(sessions)
    make_due(sessions, unit_id)
    work_off(sessions, job_id)
    job = read_job(sessions, job_id)
    assert job.state == JobState.SUCCEEDED
    assert read_unit(sessions, unit_id).done == job.total == COUNT
    drawn = current(sessions, "home")
    assert str(drawn.id) == (job.result or {})["map_id"]
    assert len(points_of(sessions, drawn.id)) == COUNT
    assert sweep(sessions) == [drawn.id]


def sweep(sessions: SessionFactory) -> list[UUID]:
    """The maps that are left."""
    while True:
        with transaction(sessions) as session:
            if not sweep_maps(session, limit=7):
                break
    with sessions() as session:
        left = set(session.scalars(select(MapPoint.map_id)))
        assert left <= set(session.scalars(select(Map.id)))
        return list(session.scalars(select(Map.id)))


def test_only_the_newest_map_of_a_library_is_kept(sessions):
    draw(sessions, library="home")
    of_all = draw(sessions).map_id
    of_home = draw(sessions, library="home").map_id
    assert set(sweep(sessions)) == {of_all, of_home}
    with transaction(sessions) as session:
        delete_library(session, "home")
    assert sweep(sessions) == [of_all]


def test_a_cancelled_map_never_appears(sessions):
    job_id = submit(sessions, library="home")

    def cancelled(lease: Lease) -> None:
        """While the landmarks are laid out."""

        def cancels(*arguments: Any) -> Any:
            with transaction(sessions) as session:
                cancel_job(session, job_id)
            lease.stop = Stop.CANCELLED
            return layout.lay_out(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(maps, "lay_out", cancels)
            maps.draw_map(lease)

    run(sessions, open_units(sessions, job_id)[0].id, cancelled)
    assert read_job(sessions, job_id).state == JobState.CANCELLED
    with pytest.raises(MapNotFound):
        current(sessions, "home")
    assert sweep(sessions) == []
    with transaction(sessions) as session:
        again = retry_job(session, job_id, ME).job.id
    work_off(sessions, again)
    assert current(sessions, "home").points == COUNT
    with pytest.raises(NothingToRetry), transaction(sessions) as session:
        retry_job(session, again, ME)


def test_a_cancel_is_obeyed_while_landmarks_are_laid_out(sessions, monkeypatch):
    """As t-SNE takes many seconds, nobody waits for its end."""
    job_id, is_over = submit(sessions, library="home"), Event()

    def take_long(*arguments: Any) -> Any:
        with transaction(sessions) as session:
            cancel_job(session, job_id)
        is_over.wait(60)
        return layout.lay_out(*arguments)

    monkeypatch.setattr(maps, "lay_out", take_long)
    monkeypatch.setattr(maps, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(lease_module, "POLL_EVERY_S", 0.05)
    began = time.monotonic()
    run(sessions, open_units(sessions, job_id)[0].id, maps.draw_map)
    is_over.set()
    assert time.monotonic() - began < 20
    assert read_job(sessions, job_id).state == JobState.CANCELLED


def test_what_cannot_be_drawn_is_refused_at_once(sessions):
    with transaction(sessions) as session:
        make_library(session, name="empty")
    for params, error in (
        ({"model": "nope"}, ModelNotFound),
        ({"library": "nope"}, LibraryNotFound),
        ({"library": "empty"}, NothingToDraw),
    ):
        with pytest.raises(error):
            submit(sessions, **params)


def test_embeddings_that_have_gone_meanwhile_fail_the_job_in_plain_words(sessions):
    job_id = submit(sessions)
    with transaction(sessions) as session:
        session.execute(delete(Embedding))
    work_off(sessions, job_id)
    job = read_job(sessions, job_id)
    assert (job.state, job.error_code) == (JobState.FAILED, "nothing_to_draw")
