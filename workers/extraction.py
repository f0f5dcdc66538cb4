"""Opens the files of a unit, analyses those whose audio is new, and records every outcome."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from core.config.models import Coverage
from core.errors import ItemError
from core.jobs.counters import save_timings
from core.jobs.items import WorkItem
from core.ml.inference.tagger import Tagger
from core.ml.inference.timings import StageTimings
from core.store.tracks import AnalysedFile
from workers.examining import Opened, open_group
from workers.lease import Lease
from workers.recorder import Recorder

FILES_PER_QUERY = 8
# By content hash of audio that need not be decoded: how a file with it is recorded.
Reusable = Mapping[bytes, Callable[[WorkItem, AnalysedFile], None]]


def analyse_files(
    lease: Lease,
    recorder: Recorder,
    tagger: Tagger,
    opened: Iterator[Opened],
    coverage: Coverage,
    max_duration_s: float,
) -> None:
    """Analyse open files and record what is found. Raises Stopped if the unit is to end early."""
    tagger.timings = StageTimings()
    results = tagger.analyse(
        opened,
        coverage,
        max_duration_s=max_duration_s,
        on_progress=lease.record_step,
        sequential=lease.claim.crash_count > 0,
    )
    with closing(results):
        try:
            for (item, file), outcome in results:
                if isinstance(outcome, ItemError):
                    recorder.fail(item, outcome, file)
                else:
                    recorder.succeed(item, file, outcome)
        except Exception:
            recorder.flush()
            raise
    recorder.flush()
    seconds = tagger.timings.stages() | {"store": recorder.store_s}
    lease.write(lambda session: save_timings(session, lease.claim, seconds))
    lease.check()


def open_items(
    lease: Lease,
    recorder: Recorder,
    root: Path,
    items: Sequence[WorkItem],
    reuse: Callable[[Sequence[Opened]], Reusable],
    *,
    force: bool = False,
) -> Iterator[Opened]:
    """Open the files that need analysis, in order; ends early if the unit is stopped.

    After a crash, files are opened one by one, and the position of each is recorded before: if the next
    worker crashes too, that file is to blame. With `force`, files are examined though their bytes are known.
    """
    is_sequential = lease.claim.crash_count > 0
    size = 1 if is_sequential else FILES_PER_QUERY
    for start in range(0, len(items), size):
        if is_sequential:
            lease.start_item(items[start].pos)
        opened = open_group(lease, recorder, root, items[start : start + size], force=force)
        try:
            known = reuse(tuple(opened))
            while opened and lease.stop is None:
                (item, found), file = opened.popleft()
                if (record := known.get(found.content_hash)) is not None:
                    file.close()
                    record(item, found)
                else:
                    yield (item, found), file
        finally:
            for _, file in opened:
                file.close()
        if lease.stop is not None:
            return
