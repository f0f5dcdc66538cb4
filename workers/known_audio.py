"""What the database knows of a dataset's audio, so that trainings need not open it."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
from sqlalchemy.orm import Session

from core.ml.datasets.examples import Dataset, Example
from core.ml.training.embedding_cache import FindStored, StoredEmbedding
from core.store.embeddings import find_embedded_contents, find_vectors
from core.store.session import SessionFactory
from core.store.tables import Library
from core.store.tracks import list_contents

HASHES_PER_QUERY = 5000


def with_contents(session: Session, library: Library, dataset: Dataset) -> Dataset:
    """The dataset with the audio hashes of those of its tracks that lie in the library and are known."""
    contents = list_contents(session, library)
    below = f"{library.path.rstrip('/')}/"

    def known(example: Example) -> Example:
        path = str(example.path)  # many times as fast as Path.relative_to
        content = contents.get(path.removeprefix(below)) if path.startswith(below) else None
        return example if content is None else replace(example, content=content.hex())

    return replace(dataset, examples=tuple(map(known, dataset.examples)))


def embedded(session: Session, weights_sha256: str, contents: Collection[str]) -> set[str]:
    """The hashes, in hex, of which the embedding by these weights is stored."""
    hashes = [bytes.fromhex(content) for content in contents]
    found: set[bytes] = set()
    for start in range(0, len(hashes), HASHES_PER_QUERY):
        found |= find_embedded_contents(session, weights_sha256, hashes[start : start + HASHES_PER_QUERY])
    return {content.hex() for content in found}


def stored_embeddings(sessions: SessionFactory) -> FindStored:
    """Looks embeddings up in the database. May be called from several threads."""

    def find(weights_sha256: str, contents: Collection[str]) -> Mapping[str, StoredEmbedding]:
        hashes = [bytes.fromhex(content) for content in contents]
        found: dict[str, StoredEmbedding] = {}
        with sessions() as session:
            for start in range(0, len(hashes), HASHES_PER_QUERY):
                rows = find_vectors(session, weights_sha256, hashes[start : start + HASHES_PER_QUERY])
                for content_hash, vector, warnings in rows:
                    stored = StoredEmbedding(np.asarray(vector, np.float32), tuple(warnings))
                    found[content_hash.hex()] = stored
        return found

    return find
