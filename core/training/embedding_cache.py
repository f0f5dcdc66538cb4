"""Embeddings of whole tracks on disk, computed exactly as serving computes them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch

from core.errors import ItemError
from core.inference.tagger import Analysis, Tagger
from core.library.content import content_hash
from core.training.feature_cache import (
    MAX_DURATION_S,
    Cached,
    Outcome,
    open_track,
    place,
    write_array,
)
from core.training.run import OnTrack, TrainingStopped, unheard


def cache_embeddings(
    sources: Sequence[Path],
    tagger: Tagger,
    weights_sha256: str,
    cache_dir: Path,
    should_stop: Callable[[], bool] = lambda: False,
    on_track: OnTrack = unheard,
) -> list[Outcome]:
    """For each audio file its mean embedding (D,) as float32 on disk, or what is wrong with it."""
    folder = cache_dir / "embeddings" / weights_sha256[:16]
    contents: dict[int, str] = {}
    outcomes: dict[int, Outcome] = {}

    def missing() -> Iterator[tuple[int, BinaryIO]]:
        for index, source in enumerate(sources):
            try:
                file = open_track(source)
            except ItemError as error:
                outcomes[index] = error
                continue
            contents[index] = content_hash(file).hex()
            target = place(folder, contents[index])
            if target.exists():
                file.close()
                outcomes[index] = Cached(target, contents[index])
            else:
                yield index, file

    with _one_thread():
        for index, outcome in tagger.analyse(missing(), max_duration_s=MAX_DURATION_S, apart=True):
            if isinstance(outcome, Analysis):
                target = place(folder, contents[index])
                write_array(target, outcome.embedding)
                outcomes[index] = Cached(target, contents[index])
            else:
                outcomes[index] = outcome
            on_track(len(outcomes), len(sources))
            if should_stop():
                raise TrainingStopped
    on_track(len(outcomes), len(sources))
    return [outcomes[index] for index in range(len(sources))]


@contextmanager
def _one_thread() -> Iterator[None]:
    """torch computes in one thread: a few patches are too little to share, and decoding needs a core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
