"""What a retry takes over from the job before it."""

from core.services.planning import list_unfinished_items
from core.states import JobState, UnitState
from tests.support.builders import make_item, make_job, make_library, make_track, make_unit


def test_a_pending_item_keeps_its_audio_only_while_the_track_has_it(session):
    library = make_library(session)
    same, changed = (make_track(session, library, path=f"{name}.mp3") for name in ("same", "changed"))
    job = make_job(session, state=JobState.CANCELLED, unit={"state": UnitState.DONE})
    unit = make_unit(session, job, state=UnitState.CANCELLED)
    make_item(session, unit, same, 0, content_hash=same.content_hash)
    make_item(session, unit, changed, 1, content_hash=b"\x07" * 32)
    found = list_unfinished_items(session, job.id, None, 10, are_tracks=True)
    assert [item.content_hash for item in found] == [same.content_hash, None]
