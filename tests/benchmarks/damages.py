"""Damaged files of all kinds, decoded in the sandbox.

Run as `python -m tests.benchmarks.damages [--files 300] [--seed 1]`.

Prints a table, and ends with an error when an outcome is not true, a decodable part is left out, or a helper
died. The reference are FFmpeg's demuxers and decoders, which pass over what they cannot read.
"""

import argparse
import logging
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import closing, suppress
from pathlib import Path

import av

from core.errors import ItemError
from core.ml.audio.sandbox import Sandbox
from core.ml.audio.source import Decoded
from tests.support import damages
from tests.support.damages import Damaged

_DEMUXERS = {"ogg": "ogg", "opus": "ogg", "aac": "aac", "m4a": "mov"}
_MOST_FAULTS = 50
_ACCURACY_S = 0.1


class Deaths(logging.Handler):
    """Counts what the sandbox says of helpers that died."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += "died" in record.getMessage()


def decode(sandbox: Sandbox, path: Path) -> Decoded | ItemError:
    with path.open("rb") as file:
        blocks = sandbox.stream(file, 16_000, max_duration_s=3600)
        while True:
            try:
                next(blocks)
            except StopIteration as stop:
                decoded: Decoded = stop.value
                return decoded
            except ItemError as error:
                return error


def reference_s(path: Path) -> float:
    """Seconds that FFmpeg decodes of a file whose container it recognises; 0: of none."""
    seconds, faults = 0.0, 0
    demuxer = _DEMUXERS.get(path.suffix[1:], path.suffix[1:])
    with suppress(av.FFmpegError, IndexError), av.open(str(path), format=demuxer) as container:
        stream = container.streams.audio[0]
        if stream.codec_context.name == "flac":
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        while faults < _MOST_FAULTS:
            with suppress(av.FFmpegError):
                for packet in container.demux(stream):
                    with suppress(av.FFmpegError):
                        seconds += sum(frame.samples / frame.sample_rate for frame in packet.decode())
                break
            faults += 1
    return seconds


def verdict_of(damaged: Damaged, outcome: Decoded | ItemError, path: Path) -> str | None:
    """What is wrong with an outcome; None: nothing."""
    wrong = damages.untruth(damaged, outcome)
    if wrong or isinstance(outcome, ItemError):
        return wrong
    left_out_s = min(reference_s(path), damaged.length_s) - outcome.duration_s
    return f"{left_out_s:.2f} s that can be decoded are left out" if left_out_s > _ACCURACY_S else None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    deaths = Deaths()
    logging.getLogger("core.ml.audio.sandbox.client").addHandler(deaths)
    table: dict[str, Counter[str]] = defaultdict(Counter)
    wrong: list[str] = []
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, closing(Sandbox()) as sandbox:
        for number in range(given.files):
            damaged = damages.make(number, given.seed)
            path = Path(folder) / f"{number}.{damaged.suffix}"
            path.write_bytes(damaged.data)
            outcome = decode(sandbox, path)
            kind = "corrupt" if isinstance(outcome, ItemError) else "warned" if outcome.warnings else "whole"
            table[damaged.name][kind] += 1
            if said := verdict_of(damaged, outcome, path):
                wrong.append(f"{number} {damaged.name}: {said}")
            path.unlink()
    took_s = time.monotonic() - start
    print(f"{'':24}{'whole':>8}{'warned':>8}{'corrupt':>8}")
    for name, counts in sorted(table.items()):
        print(f"{name:24}{counts['whole']:8}{counts['warned']:8}{counts['corrupt']:8}")
    print(f"{given.files} files in {took_s:.0f} s, {len(wrong)} untrue outcomes, {deaths.count} helpers died")
    if wrong or deaths.count:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
