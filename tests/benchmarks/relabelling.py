"""Throughput of relabelling from stored embeddings: `python -m tests.benchmarks.relabelling MODEL_DIR`.

A library of 10,000 files, of which only the embeddings are known, is labelled by a new head through the
whole stack; none of the files is audio, so opening one would show as a failed track.
"""

import argparse
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
from sqlalchemy.orm import Session

from core.config.models import TransferConfig
from core.ml.models import artifact
from core.ml.models.artifact import ModelCard, StoredCard
from core.ml.models.transfer import Transfer
from core.ml.models.zoo import build
from core.store.embeddings import NewEmbedding, save_embeddings
from core.store.libraries import get_library_by_name
from core.store.registry import register_artifact, resolve_model
from core.store.session import create_database_engine, create_session_factory, transaction
from core.store.tables import Library, Model
from core.store.tracks import AnalysedFile, SeenFile, save_analysed, upsert_tracks
from tests.benchmarks.stack import label_library, running_stack

TRACKS, PAGE = 10_000, 500
LABELS = tuple(f"label {number}" for number in range(50))
GIVEN = 4  # labels of a track, about


def make_files(root: Path) -> list[SeenFile]:
    files = []
    for number in range(TRACKS):
        path = root / f"{number // 1000:02}" / f"{number}.mp3"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no audio")
        status = path.stat()
        files.append(SeenFile(str(path.relative_to(root)), status.st_size, status.st_mtime_ns))
    return files


def remember(session: Session, library: Library, model: Model, files: list[SeenFile]) -> None:
    """As if `model` had analysed them all."""
    dice = np.random.default_rng(0)
    for start in range(0, len(files), PAGE):
        tracks = upsert_tracks(session, library.id, files[start : start + PAGE])
        contents = [track.path.encode().ljust(32, b"\0") for track in tracks]
        save_analysed(
            session,
            [
                AnalysedFile(track.id, track.path, track.size, track.mtime_ns, content, content[::-1], {})
                for track, content in zip(tracks, contents, strict=True)
            ],
        )
        vectors = dice.normal(size=(len(tracks), model.embedding_size)).astype(np.float32)
        embeddings = [
            NewEmbedding(content, "full", 200.0, vector)
            for content, vector in zip(contents, vectors, strict=True)
        ]
        save_embeddings(session, model.encoder_id, embeddings)


def make_head(backbone: Path, folder: Path) -> Path:
    """A head with random weights that gives a track about `GIVEN` of its labels."""
    base = artifact.load(backbone)
    assert isinstance(base.card, StoredCard)
    config = TransferConfig(
        backbone=backbone.name, network=base.card.model, network_labels=len(base.card.labels), head="mlp"
    )
    model = build(config, base.card.features, len(LABELS))
    assert isinstance(model, Transfer)
    model.backbone.load_state_dict(base.model.state_dict())
    dice = np.random.default_rng(1)
    scores = model.eval().scores(dice.normal(size=(1000, config.embedding_size)).astype(np.float32))
    card = ModelCard(
        name="head",
        version=1,
        embedding=base.card.embedding,
        model=config,
        features=base.card.features,
        labels=LABELS,
        thresholds=tuple(map(float, np.quantile(scores, 1 - GIVEN / len(LABELS), axis=0))),
        provenance={"bases_sha256": base.card.weights_sha256},
    )
    artifact.save(card, model, folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("music_dir", type=Path, nargs="?", help="not looked at")
    backbone = parser.parse_args().model_dir
    with tempfile.TemporaryDirectory() as music, running_stack(backbone) as stack:
        files = make_files(Path(music))
        engine = create_database_engine(stack.database_url)
        with httpx.Client(base_url=f"{stack.url}/api/v1", timeout=60) as http:
            http.post("/libraries", json={"name": "bench", "path": music}).raise_for_status()
            with transaction(create_session_factory(engine)) as session:
                library = get_library_by_name(session, "bench")
                remember(session, library, resolve_model(session, "default"), files)
                register_artifact(session, make_head(backbone, Path(music) / ".head"))
            http.post("/models/head/promote", json={}).raise_for_status()
            start = time.perf_counter()
            label_library(http, force=False)
            seconds = time.perf_counter() - start
        engine.dispose()
    print(f"{TRACKS} tracks relabelled in {seconds:.1f} s: {TRACKS / seconds:.0f} tracks/s")


if __name__ == "__main__":
    main()
