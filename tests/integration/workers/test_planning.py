"""Planning a library: every file in exactly one unit, whatever interrupts it."""

import os
import shutil
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from core.config.models import Windows
from core.errors import JobBeingRetried, Unreadable
from core.jobs.dispatch import take_ready
from core.jobs.endings import finish_complete_jobs
from core.jobs.jobs import cancel_job
from core.jobs.kinds import SubmissionContext
from core.jobs.reaping import cancel_waiting
from core.jobs.submission import retry_job
from core.jobs.workers import record_heartbeat
from core.library.paths import open_subfolder
from core.services.analysis import ANALYSE
from core.services.changes import delete_job
from core.services.planning import PlannedItem, PlannedUnit, UnfinishedItem, add_page, list_unfinished_items
from core.states import JobState, UnitState
from core.store.session import transaction
from core.store.tables import Job, JobItem, JobUnit, Library, Track
from core.store.tracks import SeenFile, count_not_met, mark_missing, upsert_tracks
from tests.integration.workers.music import Music
from tests.support import sounds
from tests.support.builders import make_track
from tests.support.planned import claim, expire, read_job, read_unit, reap
from tests.support.worker import WORKER, open_units, run, until, work_off
from workers import planning
from workers.lease import Lease
from workers.planning import plan_library
from workers.runner import Body

pytestmark = pytest.mark.usefixtures("tagger")
PATHS = [f"{folder}/{number}.mp3" for folder in ("a", "b") for number in range(5)]


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch):
    monkeypatch.setattr(planning, "PAGE", 3)


def plan_unit(music: Music, job_id: UUID) -> int:
    (unit,) = open_units(music.sessions, job_id)
    return unit.id


def planned_paths(music: Music, job_id: UUID) -> list[str]:
    query = (
        select(func.coalesce(JobItem.path, Track.path))
        .select_from(JobItem)
        .outerjoin(Track, Track.id == JobItem.track_id)
        .where(JobItem.job_id == job_id)
        .order_by(JobItem.unit_id, JobItem.pos)
    )
    with music.sessions() as session:
        return list(session.scalars(query))


def test_every_file_is_planned_once_in_the_order_of_the_library(music):
    music.add(*PATHS)
    job_id = music.submit()
    run(music.sessions, plan_unit(music, job_id))
    assert planned_paths(music, job_id) == PATHS
    job = read_job(music.sessions, job_id)
    assert (job.total, job.state) == (10, JobState.RUNNING)
    units = open_units(music.sessions, job_id)
    assert {(unit.kind, unit.queue, unit.state) for unit in units} == {("analyse", "batch", "ready")}
    with music.sessions() as session:
        seqs = list(session.scalars(select(JobUnit.seq).where(JobUnit.job_id == job_id).order_by(JobUnit.id)))
    assert seqs == list(range(len(seqs)))


def test_units_can_be_worked_on_before_the_plan_is_complete(music):
    music.add(*PATHS)
    job_id = music.submit()
    with pytest.raises(Killed):
        run(music.sessions, plan_unit(music, job_id), dies_after(pages=1))
    with transaction(music.sessions) as session:
        assert take_ready(session, "batch", 4)
    assert read_job(music.sessions, job_id).state == JobState.RUNNING


Work = Callable[[Session], Any]


class Killed(BaseException):
    """The worker process is gone: no handler runs."""


def dies_after(pages: int, *, after_commit: bool = True) -> Body:
    """A planner that is killed at its n-th page, before or after that is committed."""

    def body(lease: Lease) -> None:
        write = lease.write
        written: list[Work] = []

        def counted(work: Work) -> Any:
            written.append(work)
            if len(written) > pages:
                raise Killed
            if len(written) == pages and not after_commit:

                def interrupted(session: Session) -> None:
                    work(session)
                    raise Killed

                return write(interrupted)
            return write(work)

        lease.write = counted  # type: ignore[method-assign]
        plan_library(lease)

    return body


@pytest.mark.parametrize("after_commit", [True, False])
@pytest.mark.parametrize("pages", [1, 2, 3, 4])
def test_a_killed_planner_resumes_and_counts_entries_left_out_once(music, pages, after_commit):
    music.add(*PATHS, "a/1.jpg", "a/8.jpg", "b/@eaDir/x.mp3", "b/log")
    job_id = music.submit()
    unit_id = plan_unit(music, job_id)
    with pytest.raises(Killed):
        run(music.sessions, unit_id, dies_after(pages, after_commit=after_commit))
    expire(music.sessions, unit_id)
    assert reap(music.sessions) == 1
    run(music.sessions, unit_id)
    assert planned_paths(music, job_id) == PATHS
    assert read_unit(music.sessions, unit_id).state == UnitState.DONE
    job = read_job(music.sessions, job_id)
    assert (job.total, job.result) == (
        len(PATHS),
        {"left_out": {".jpg": 2, "no_suffix": 1, "system_folder": 1}, "missing": 0, "warnings": []},
    )


def test_a_page_whose_commit_was_in_doubt_adds_nothing_twice(music):
    job_id = music.submit()
    claimed = claim(music.sessions, plan_unit(music, job_id))
    for _ in range(3):
        with transaction(music.sessions) as session:
            library = session.scalars(select(Library)).one()
            (track,) = upsert_tracks(session, library.id, [SeenFile("a.mp3", 1, 1)])
            unit = PlannedUnit(ANALYSE, [PlannedItem(track.id)])
            add_page(session, claimed, [unit], cursor={}, next_cursor={"after": "a.mp3"})
    assert read_job(music.sessions, job_id).total == 1
    assert planned_paths(music, job_id) == ["a.mp3"]


def test_a_stopped_planner_hands_back_its_unit_and_another_resumes_it(music):
    music.add(*PATHS)
    job_id = music.submit()
    unit_id = plan_unit(music, job_id)
    with transaction(music.sessions) as session:
        record_heartbeat(session, WORKER, ["plan"], 1, draining=True)

    def waits_for_the_drain(lease: Lease) -> None:
        until(lambda: lease.stop is not None)
        plan_library(lease)

    run(music.sessions, unit_id, waits_for_the_drain)
    assert (read_unit(music.sessions, unit_id).state, read_unit(music.sessions, unit_id).attempt) == (
        "ready",
        0,
    )
    with transaction(music.sessions) as session:
        record_heartbeat(session, WORKER, ["plan"], 1, draining=False)
    run(music.sessions, unit_id)
    assert planned_paths(music, job_id) == PATHS


def test_unchanged_files_are_skipped_without_a_look(music, tagger):
    music.add(*PATHS)
    first = music.label()
    assert set(music.outcomes(first).values()) == {"done"}
    tagger.analysed.clear()
    second = music.submit()
    run(music.sessions, plan_unit(music, second))
    assert set(music.outcomes(second).values()) == {"skipped"}
    job = read_job(music.sessions, second)
    assert (job.state, job.total) == (JobState.SUCCEEDED, 10)
    assert tagger.analysed == []


def test_force_analyses_what_is_known(music, tagger):
    music.add(*PATHS)
    music.label()
    job_id = music.label(force=True)
    assert set(music.outcomes(job_id).values()) == {"done"}
    assert len(tagger.analysed) == 20


def test_a_changed_file_loses_its_hash_and_is_planned_again(music, tagger):
    music.add("a.mp3", "b.mp3")
    music.label()
    os.utime(music.root / "a.mp3", ns=(0, 5))
    job_id = music.submit()
    run(music.sessions, plan_unit(music, job_id))
    assert music.track("a.mp3").content_hash is None
    assert music.outcomes(job_id) == {"a.mp3": "pending", "b.mp3": "skipped"}
    work_off(music.sessions, job_id)
    assert music.outcomes(job_id) == {"a.mp3": "skipped", "b.mp3": "skipped"}  # only its time had changed
    assert music.track("a.mp3").content_hash is not None
    assert len(tagger.analysed) == 2


def test_a_file_that_is_gone_is_marked_missing_and_comes_back_with_its_result(music):
    music.add("a.mp3", "b.mp3")
    music.label()
    status = (music.root / "b.mp3").stat()
    (music.root / "b.mp3").unlink()
    music.label()
    assert music.track("b.mp3").missing_at is not None
    assert music.track("a.mp3").missing_at is None
    music.add("b.mp3")
    os.utime(music.root / "b.mp3", ns=(status.st_atime_ns, status.st_mtime_ns))
    job_id = music.label()
    assert music.track("b.mp3").missing_at is None
    assert music.outcomes(job_id)["b.mp3"] == "skipped"


def test_a_job_over_one_folder_says_nothing_about_the_others(music):
    music.add(*PATHS, "a b/1.mp3", "a%/1.mp3", "a.mp3")
    music.label()
    shutil.rmtree(music.root / "b")
    (music.root / "a" / "0.mp3").unlink()
    job_id = music.label(path="a")
    assert list(music.outcomes(job_id)) == ["a/1.mp3", "a/2.mp3", "a/3.mp3", "a/4.mp3"]
    assert music.track("a/0.mp3").missing_at is not None
    for path in ("b/0.mp3", "a b/1.mp3", "a%/1.mp3", "a.mp3"):
        assert music.track(path).missing_at is None


def result_of(music: Music, job_id: UUID) -> dict[str, Any]:
    job = read_job(music.sessions, job_id)
    assert job.state == JobState.SUCCEEDED
    assert job.result is not None
    return job.result


@pytest.mark.parametrize("path", ["", "a"])
def test_a_folder_that_was_emptied_marks_nothing_missing_unless_that_is_confirmed(music, path):
    music.add("a/1.mp3", "a/2.mp3", "b.mp3" if path else "a/3.mp3")
    music.label()
    shutil.rmtree(music.root / "a")
    music.add("a/readme.txt")  # of the empty mount point
    found = result_of(music, music.label(path=path))
    assert found["missing"] == 0
    (warning,) = found["warnings"]
    assert f"but {2 if path else 3} known tracks are not there" in warning
    assert "confirm_empty" in warning
    assert music.track("a/1.mp3").missing_at is None
    found = result_of(music, music.label(path=path, confirm_empty=True))
    assert (found["missing"], found["warnings"]) == (2 if path else 3, [])
    assert music.track("a/1.mp3").missing_at is not None
    assert result_of(music, music.label(path=path))["warnings"] == []


def test_a_file_that_is_written_into_an_empty_mount_point_does_not_make_it_look_full(music):
    music.add(*(f"a/{number}.mp3" for number in range(12)))
    music.label()
    shutil.rmtree(music.root / "a")
    music.add("downloaded.mp3")
    for _ in range(2):  # by the second time the new file is known too
        found = result_of(music, music.label())
        assert found["missing"] == 0
        assert "Only 1 tracks were found" in found["warnings"][0]


def test_a_disk_that_goes_while_it_is_listed_takes_no_tracks_with_it(music):
    music.add(*PATHS)
    music.label()
    job_id = music.submit()
    unit_id = plan_unit(music, job_id)
    with pytest.raises(Killed):
        run(music.sessions, unit_id, dies_after(pages=2))
    for folder in ("a", "b"):
        shutil.rmtree(music.root / folder)
    expire(music.sessions, unit_id)
    reap(music.sessions)
    work_off(music.sessions, job_id)
    found = result_of(music, job_id)
    assert (found["missing"], len(found["warnings"])) == (0, 1)
    assert music.track("b/4.mp3").missing_at is None


def test_nothing_is_warned_of_where_nothing_is_known(music):
    assert result_of(music, music.label()) == {"left_out": {}, "missing": 0, "warnings": []}


def test_what_only_looks_like_a_file_is_an_item_with_an_error(music):
    sounds.bad_file("directory", music.root / "folder.mp3")
    sounds.bad_file("link", music.root / "link.mp3")
    music.add("song.mp3")
    job_id = music.label()
    assert music.outcomes(job_id) == {
        "folder.mp3": "not_a_file",
        "link.mp3": "outside_library",
        "song.mp3": "done",
    }
    assert read_job(music.sessions, job_id).state == JobState.SUCCEEDED
    assert known_paths(music) == ["song.mp3"]


def known_paths(music: Music) -> list[str]:
    with music.sessions() as session:
        return list(session.scalars(select(Track.path).order_by(Track.path)))


def test_a_path_that_is_too_long_is_an_item_and_no_track(music):
    folder = "/".join(["x" * 250] * 8)
    music.add("a.mp3")
    descriptor = os.open(music.root, os.O_RDONLY)
    for part in folder.split("/"):
        os.mkdir(part, dir_fd=descriptor)
        deeper = os.open(part, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    os.close(os.open("b.mp3", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    job_id = music.label()
    assert music.outcomes(job_id) == {"a.mp3": "done", f"{folder}/b.mp3": "unreadable"}
    assert known_paths(music) == ["a.mp3"]


@pytest.fixture
def forbid(monkeypatch) -> Callable[..., None]:
    """Let no folder of these names be listed; tests may run as root, who may list everything."""

    def forbid(*names: str) -> None:
        def open_unless_forbidden(name: str, parent: int) -> int:
            if name in names:
                raise Unreadable
            return open_subfolder(name, parent)

        monkeypatch.setattr("core.library.scan.open_subfolder", open_unless_forbidden)

    return forbid


def test_a_retry_lists_folders_again_that_could_not_be_listed_and_page_by_page(music, forbid):
    music.add(*PATHS, "b/cover.jpg", "b/deep/1.mp3")
    (music.root / "link.mp3").symlink_to("a/0.mp3")
    (music.root / "z.mp3").symlink_to("nowhere")
    music.add("bad.mp3")
    music.label()
    forbid("b")
    first = music.label(force=True)
    failed = {
        "b": "unreadable",
        "bad.mp3": "corrupt",
        "link.mp3": "outside_library",
        "z.mp3": "outside_library",
    }
    assert {path: code for path, code in music.outcomes(first).items() if code != "done"} == failed
    assert result_of(music, first)["missing"] == 0
    assert music.track("b/0.mp3").missing_at is None
    forbid()
    (music.root / "link.mp3").unlink()
    music.add("link.mp3")
    (music.root / "z.mp3").unlink()
    retry = retried(music, first)
    unit_id = plan_unit(music, retry)
    with pytest.raises(Killed):
        run(music.sessions, unit_id, dies_after(pages=2))
    expire(music.sessions, unit_id)
    reap(music.sessions)
    work_off(music.sessions, retry)
    assert music.outcomes(retry) == {
        **{f"b/{number}.mp3": "done" for number in range(5)},
        "b/deep/1.mp3": "done",
        "bad.mp3": "corrupt",
        "link.mp3": "done",
        "z.mp3": "disappeared",
    }
    assert result_of(music, retry) == {"left_out": {".jpg": 1}, "missing": 0, "warnings": []}


def test_many_unreadable_paths_and_lost_tracks_are_distinguished_quickly(music):
    """Each of the two may be as many as a library has files; folders not listed keep their tracks."""
    with transaction(music.sessions) as session:
        library_id = session.scalars(select(Library.id)).one()
        insert = text(
            "INSERT INTO tracks (library_id, path, size, mtime_ns, seen_at) SELECT :library, "
            "'Artist ' || n % 500 || '/Album ' || n % 3000 || '/' || n || '.mp3', 1, 1, "
            "now() - interval '1 h' FROM generate_series(1, 12000) AS n"
        )
        session.execute(insert, {"library": library_id})
    job_id = music.submit()
    with transaction(music.sessions) as session:
        session.execute(text("SET LOCAL statement_timeout = '3s'"))
        job = session.get_one(Job, job_id)
        job.started_at = func.now()
        (unit,) = session.scalars(select(JobUnit).where(JobUnit.job_id == job_id))
        insert = text(
            "INSERT INTO job_items (unit_id, pos, job_id, path, state, error_code) SELECT :unit, n, :job, "
            "'Artist ' || n % 250 || '/Album ' || n, 'failed', 'unreadable' "
            "FROM generate_series(1, 3000) AS n"
        )
        session.execute(insert, {"unit": unit.id, "job": job_id})
        session.flush()
        session.refresh(job)
        counted = count_not_met(session, job, "", 1000)
        marked, after = mark_missing(session, job, "", None, 1000)
        while after is not None:
            more, after = mark_missing(session, job, "", after, 1000)
            marked += more
    assert marked == counted
    with music.sessions() as session:
        hidden = session.scalars(select(Track.path).where(Track.missing_at.is_(None))).all()
    unreadable = {f"Artist {n % 250}/Album {n}" for n in range(1, 3001)}
    assert len(hidden) == 12000 - marked > 0
    assert {path.rpartition("/")[0] for path in hidden} <= unreadable


def test_a_retry_of_mixed_failures_reads_whole_pages(music, monkeypatch):
    """Failed tracks and paths that were no track lie next to each other in the failed job."""
    for number in range(6):
        music.add(f"{number}-bad.mp3", content=f"bad {number}".encode())
        (music.root / f"{number}-link.mp3").symlink_to("nowhere")
    first = music.label()
    for number in range(6):
        (music.root / f"{number}-link.mp3").unlink()
        music.add(f"{number}-bad.mp3", f"{number}-link.mp3")
    pages: list[int] = []

    def list_page(*arguments: Any) -> list[UnfinishedItem]:
        pages.append(len(page := list_unfinished_items(*arguments)))
        return page

    monkeypatch.setattr(planning, "list_unfinished_items", list_page)
    retry = retried(music, first)
    unit_id = plan_unit(music, retry)
    with pytest.raises(Killed):
        run(music.sessions, unit_id, dies_after(pages=3))
    expire(music.sessions, unit_id)
    reap(music.sessions)
    work_off(music.sessions, retry)
    assert sorted(music.outcomes(retry)) == sorted(
        f"{number}-{kind}.mp3" for number in range(6) for kind in ("bad", "link")
    )
    assert len(planned_paths(music, retry)) == 12
    assert set(music.outcomes(retry).values()) == {"done"}
    assert [size for size in pages if size] == [
        3,
        3,
        3,
        3,
        3,
        1,
    ]  # tracks, paths, and again those not committed


def retried(music: Music, job_id: UUID) -> UUID:
    with transaction(music.sessions) as session:
        return retry_job(session, job_id, SubmissionContext("tests")).job.id


def test_a_library_that_could_not_be_listed_at_all_is_listed_by_a_retry(music):
    music.add(*PATHS)
    away = music.root.with_name("away")
    job_id = music.submit()
    music.root.rename(away)
    work_off(music.sessions, job_id)
    assert read_job(music.sessions, job_id).state == JobState.FAILED
    second = retried(music, job_id)
    work_off(music.sessions, second)
    assert read_job(music.sessions, second).error_code == "library_folder_missing"
    away.rename(music.root)
    third = retried(music, second)
    work_off(music.sessions, third)
    assert music.outcomes(third) == dict.fromkeys(PATHS, "done")


@pytest.mark.parametrize(("asked", "stored"), [("Caf\u00e9/", "Cafe\u0301"), ("Cafe\u0301", "Caf\u00e9")])
def test_a_folder_is_found_in_another_unicode_form_and_its_tracks_bear_the_stored_one(music, asked, stored):
    music.add(f"{stored}/1.mp3", f"{stored}/2.mp3", "else.mp3")
    assert music.outcomes(music.label(path=asked)) == {f"{stored}/1.mp3": "done", f"{stored}/2.mp3": "done"}
    (music.root / stored / "2.mp3").unlink()
    assert result_of(music, music.label(path=asked))["missing"] == 1


def test_a_library_whose_folder_vanished_fails_the_job_and_says_so(music):
    music.add("a.mp3")
    music.label()
    job_id = music.submit()
    shutil.rmtree(music.root)
    work_off(music.sessions, job_id)
    job = read_job(music.sessions, job_id)
    assert (job.state, job.error_code) == (JobState.FAILED, "library_folder_missing")
    assert job.error_detail
    assert str(music.root) in job.error_detail
    assert music.track("a.mp3").missing_at is None


def test_two_names_that_are_printed_alike_are_two_items(music):
    """Not valid UTF-8 is shown with backslashes, which another name may really have."""
    (music.root / os.fsdecode(b"\xff.mp3")).write_bytes(b"1")
    (music.root / "\\xff.mp3").write_bytes(b"2")
    job_id = music.submit()
    run(music.sessions, plan_unit(music, job_id))
    assert planned_paths(music, job_id) == ["\\xff.mp3", "\\xff.mp3"]
    assert known_paths(music) == ["\\xff.mp3"]


def test_a_better_coverage_is_analysed_again_and_a_full_one_serves_always(music, tagger):
    music.add("a.mp3")
    for coverage, outcome in [
        (Windows(windows=2), "done"),
        (Windows(windows=2), "skipped"),
        (Windows(windows=3), "done"),
        ("full", "done"),
        (Windows(windows=2), "skipped"),
        ("full", "skipped"),
    ]:
        assert music.outcomes(music.label(coverage=coverage)) == {"a.mp3": outcome}
    (prediction,) = music.predictions()
    assert prediction.coverage == "full"
    assert len(tagger.analysed) == 3


def test_a_retry_takes_up_every_failed_item_once_and_page_by_page(music):
    music.add("good.mp3", *(f"bad{number}.mp3" for number in range(7)))
    job_id = music.label()
    for number in range(7):
        music.add(f"bad{number}.mp3", content=f"good {number}".encode())
    retry_id = retried(music, job_id)
    work_off(music.sessions, retry_id)
    assert music.outcomes(retry_id) == {f"bad{number}.mp3": "done" for number in range(7)}
    job = read_job(music.sessions, retry_id)
    assert (job.state, job.total) == (JobState.SUCCEEDED, 7)
    assert set(music.outcomes(job_id).values()) == {"done", "corrupt"}


def cancel(music: Music, job_id: UUID) -> None:
    """Cancel a job that no worker is at, and let it end."""
    with transaction(music.sessions) as session:
        cancel_job(session, job_id)
        cancel_waiting(session)
        finish_complete_jobs(session)
    assert read_job(music.sessions, job_id).state == JobState.CANCELLED


def analyse_one_unit(music: Music, job_id: UUID) -> None:
    unit = next(unit for unit in open_units(music.sessions, job_id) if unit.kind == ANALYSE.name)
    run(music.sessions, unit.id)


def test_a_retry_of_a_cancelled_job_takes_up_what_it_left_and_what_failed(music, tagger):
    music.add(*PATHS, "a/bad.mp3")
    (music.root / "a" / "bad.mp3").write_bytes(b"bad")
    job_id = music.submit(force=True)
    run(music.sessions, plan_unit(music, job_id))
    analyse_one_unit(music, job_id)
    analyse_one_unit(music, job_id)
    cancel(music, job_id)
    finished = {path for path, outcome in music.outcomes(job_id).items() if outcome == "done"}
    assert 0 < len(finished) < len(PATHS)
    retry_id = retried(music, job_id)
    work_off(music.sessions, retry_id)
    assert music.outcomes(retry_id) == dict.fromkeys(set(PATHS) - finished, "done") | {"a/bad.mp3": "corrupt"}
    assert len(tagger.analysed) == len(PATHS) + 2  # only the corrupt one twice


def test_a_job_that_was_cancelled_before_it_began_is_retried_as_a_whole(music):
    music.add(*PATHS)
    job_id = music.submit()
    cancel(music, job_id)
    retry_id = retried(music, job_id)
    work_off(music.sessions, retry_id)
    assert music.outcomes(retry_id) == dict.fromkeys(PATHS, "done")


def cancel_planning(music: Music, job_id: UUID, pages: int) -> None:
    """Cancel a job whose planner has written some pages, of which one unit is worked off."""
    unit_id = plan_unit(music, job_id)
    with pytest.raises(Killed):
        run(music.sessions, unit_id, dies_after(pages))
    expire(music.sessions, unit_id)
    assert reap(music.sessions) == 1
    analyse_one_unit(music, job_id)
    cancel(music, job_id)


def test_a_retry_of_a_cancelled_listing_lists_again_and_repeats_no_analysis(music, tagger):
    music.add(*PATHS, "a/1.jpg")
    first = music.submit(force=True)
    cancel_planning(music, first, pages=2)
    second = retried(music, first)
    cancel_planning(music, second, pages=3)
    third = retried(music, second)
    with transaction(music.sessions) as session, pytest.raises(JobBeingRetried):
        delete_job(session, first)
    (music.root / "a" / "0.mp3").write_bytes(b"other audio")  # labelled by the first job
    work_off(music.sessions, third)
    outcomes = music.outcomes(third)
    assert sorted(outcomes) == PATHS
    assert outcomes["a/0.mp3"] == "done"
    assert outcomes["a/1.mp3"] == "skipped"
    assert len(tagger.analysed) == len(PATHS) + 1  # the changed one twice
    job = read_job(music.sessions, third)
    assert (job.state, job.total) == (JobState.SUCCEEDED, len(PATHS))
    assert job.result == {"left_out": {".jpg": 1}, "missing": 0, "warnings": []}


def test_a_cancelled_retry_is_taken_up_again_without_what_it_had_done(music, tagger):
    music.add(*(f"bad{number}.mp3" for number in range(7)))
    first = music.label(force=True)
    for number in range(7):
        music.add(f"bad{number}.mp3", content=f"good {number}".encode())
    analysed = len(tagger.analysed)
    second = retried(music, first)
    cancel_planning(music, second, pages=2)
    third = retried(music, second)
    work_off(music.sessions, third)
    assert sorted(music.outcomes(third)) == [f"bad{number}.mp3" for number in range(7)]
    assert len(tagger.analysed) == analysed + 7


def test_a_small_library_is_cut_so_that_every_slot_has_work(music, monkeypatch):
    monkeypatch.setattr(planning, "PAGE", 1000)
    music.add(*(f"{number}.wav" for number in range(64)), content=bytes(176_400))
    for number in range(64):
        os.truncate(music.root / f"{number}.wav", 176_400 * 40)  # some second of work each
    with transaction(music.sessions) as session:
        record_heartbeat(session, WORKER, ["batch"], 4, draining=False)
    job_id = music.submit()
    run(music.sessions, plan_unit(music, job_id))
    assert len(open_units(music.sessions, job_id)) == 4 * planning.UNITS_PER_SLOT


def test_the_items_of_a_deleted_library_go_with_its_tracks_and_the_job_stays(music):
    music.add("a.mp3")
    job_id = music.label()
    with transaction(music.sessions) as session:
        make_track(session)  # of another library
        session.delete(session.scalars(select(Library).where(Library.name == "music")).one())
    assert music.outcomes(job_id) == {}
    with music.sessions() as session:
        assert session.scalars(select(func.count()).select_from(Track)).one() == 1
    assert read_job(music.sessions, job_id).library_id is None
