"""Training a head on stored embeddings: `python -m tests.benchmarks.learning MODEL_DIR`.

Of the 10,000 tracks of a library only the embeddings are known; its folder is removed before the training.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import httpx

from core.store.libraries import get_library_by_name
from core.store.registry import resolve_model
from core.store.session import create_database_engine, create_session_factory, transaction
from tests.benchmarks.relabelling import TRACKS, make_files, remember
from tests.benchmarks.stack import running_stack

POLL_EVERY_S = 0.1
EXPERIMENT = {
    "experiment_name": "bench",
    "dataset": {"kind": "library", "library": "bench", "labels_from": "folder"},
    "model": {"kind": "transfer"},
}


def train(http: httpx.Client) -> tuple[float, float]:
    """Seconds from the submission to the first step, and to the registered model."""
    start, first_step = time.perf_counter(), None
    params = {"experiment": EXPERIMENT}
    job = http.post("/jobs", json={"kind": "training", "params": params}).raise_for_status().json()
    while job["state"] in ("queued", "running"):
        time.sleep(POLL_EVERY_S)
        job = http.get(f"/jobs/{job['id']}").raise_for_status().json()
        progress = job["progress"]
        is_training = progress["done"] or (progress["activity"] or {}).get("name") == "training"
        if first_step is None and is_training:
            first_step = time.perf_counter() - start
    if job["state"] != "succeeded" or first_step is None:
        raise SystemExit(f"the job failed: {job}")
    return first_step, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("music_dir", type=Path, nargs="?", help="not looked at")
    backbone = parser.parse_args().model_dir
    with tempfile.TemporaryDirectory() as folder, running_stack(backbone) as stack:
        music = Path(folder) / "music"
        music.mkdir()
        files = make_files(music)
        engine = create_database_engine(stack.database_url)
        with httpx.Client(base_url=f"{stack.url}/api/v1", timeout=60) as http:
            http.post("/libraries", json={"name": "bench", "path": str(music)}).raise_for_status()
            with transaction(create_session_factory(engine)) as session:
                library = get_library_by_name(session, "bench")
                remember(session, library, resolve_model(session, "default"), files)
            shutil.rmtree(music)
            for what in ("first", "second"):
                first_step, registered = train(http)
                print(
                    f"{what} head on {TRACKS} known tracks: first step after {first_step:.1f} s, "
                    f"registered after {registered:.1f} s"
                )
        engine.dispose()


if __name__ == "__main__":
    main()
