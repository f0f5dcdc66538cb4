"""What files made to do harm cost whoever polls: `python -m tests.benchmarks.bombs MODEL_DIR MUSIC_DIR`.

Good music and the files of `tests/support/bombs.py` are labelled in turn, `ROUNDS` times, while
a client polls hard.
"""

import argparse
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from tests.benchmarks.stack import POLL_HARD_EVERY_S, copy_music, running_stack
from tests.support.bombs import BOMBS

ROUNDS = 3


def label(http: httpx.Client, library: str) -> tuple[list[float], dict[str, str | None]]:
    """The seconds that each poll took meanwhile, and the outcomes: file name -> code, None for a label."""
    polls = []
    params = {"library": library, "force": True}
    job = http.post("/jobs", json={"kind": "analysis", "params": params}).raise_for_status().json()
    while job["state"] in ("queued", "running"):
        time.sleep(POLL_HARD_EVERY_S)
        start = time.perf_counter()
        job = http.get(f"/jobs/{job['id']}").raise_for_status().json()
        polls.append(time.perf_counter() - start)
    if job["state"] != "succeeded":
        raise SystemExit(f"the job failed: {job}")
    items = http.get(f"/jobs/{job['id']}/items?limit=500").raise_for_status().json()["items"]
    return polls, {item["path"]: item["error"]["code"] if item["error"] else None for item in items}


def write_bombs(folder: Path) -> dict[str, set[str | None]]:
    """File name -> the codes that are honest about it."""
    honest = {}
    for index, (make, codes) in enumerate(BOMBS.values()):
        name = f"{index:02d}.mp3"
        (folder / name).write_bytes(make())
        honest[name] = codes
    return honest


def check(outcomes: dict[str, str | None], honest: dict[str, set[str | None]]) -> None:
    wrong = {name: outcomes.get(name, "missing") for name in honest}
    wrong = {name: code for name, code in wrong.items() if code not in honest[name]}
    if wrong:
        raise SystemExit(f"not honest: {wrong}")


def figures(polls: list[float]) -> tuple[float, float]:
    """Median and 99th percentile in ms."""
    took_ms = sorted(1000 * poll for poll in polls)
    return statistics.median(took_ms), took_ms[int(0.99 * len(took_ms))]


def show(name: str, polls: list[float]) -> tuple[float, float]:
    median, p99 = figures(polls)
    print(f"  {name:<6} {len(polls):5} polls: median {median:.1f} ms, p99 {p99:.1f} ms", flush=True)
    return median, p99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("music_dir", type=Path)
    arguments = parser.parse_args()
    polls: dict[str, list[float]] = {"music": [], "bombs": []}
    with tempfile.TemporaryDirectory() as folder, running_stack(arguments.model_dir) as stack:
        music, bombs = Path(folder) / "music", Path(folder) / "bombs"
        music.mkdir()
        bombs.mkdir()
        honest: dict[str, dict[str, set[str | None]]] = {"bombs": write_bombs(bombs)}
        honest["music"] = {path.name: {None} for path in copy_music(arguments.music_dir, music)}
        with httpx.Client(base_url=f"{stack.url}/api/v1", timeout=60) as http:
            for name in polls:
                library = {"name": name, "path": str(Path(folder) / name)}
                http.post("/libraries", json=library).raise_for_status()
            label(http, "music")  # warms the workers up
            for number in range(ROUNDS):
                print(f"round {number + 1}")
                for name, taken in polls.items():
                    took, outcomes = label(http, name)
                    check(outcomes, honest[name])
                    show(name, took)
                    taken += took
    print(f"{len(honest['bombs'])} bombs: {dict(Counter(code or 'labelled' for code in outcomes.values()))}")
    print("all rounds")
    (median, p99), (bomb_median, bomb_p99) = (show(name, taken) for name, taken in polls.items())
    print(f"bombs / music: median {bomb_median / median:.2f}, p99 {bomb_p99 / p99:.2f}")


if __name__ == "__main__":
    main()
