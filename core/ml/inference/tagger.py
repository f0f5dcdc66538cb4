"""Labels and embeddings of many tracks: decodes ahead, batches patches across tracks, averages per track."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import torch
from torch import nn

from core.config.models import Coverage, is_single_label
from core.errors import ItemError
from core.ml.audio.features import LogMel
from core.ml.audio.sandbox import CpuTime, stream, stream_windows
from core.ml.audio.source import Decoded
from core.ml.audio.waveform import Waveform, with_waveform
from core.ml.evaluation.calibration import calibrate, normalise
from core.ml.evaluation.hierarchy import enforce_hierarchy
from core.ml.inference.batching import Batcher, PatchExtractor, PendingTrack
from core.ml.inference.channel import Channel
from core.ml.inference.decoding import Decode, EndOfStream, Message, Piece, decode_ahead
from core.ml.inference.patches import Patcher, WindowPatcher, patch_samples
from core.ml.inference.timings import StageTimings
from core.ml.models import artifact
from core.ml.models.artifact import ModelCard
from core.ml.models.transfer import Transfer

K = TypeVar("K")

BATCH_SIZE = {"cpu": 6, "cuda": 64}  # patches; on a CPU a batch must fit into the cache


@dataclass(frozen=True)
class Analysis:
    """Duration, scores and embedding of one track."""

    duration_s: float
    scores: np.ndarray  # (L,) float32 probabilities
    embedding: np.ndarray  # (D,) float32
    warnings: tuple[str, ...] = ()  # sentences about audio that could not be decoded
    waveform: Waveform | None = None  # of a track that was decoded as a whole


class Tagger:
    """A model with its feature extraction, ready to label tracks."""

    def __init__(self, card: ModelCard, model: nn.Module, device: torch.device) -> None:
        self.card = card
        self.timings = StageTimings()
        self._device = device
        self._model = model.to(device)
        self._log_mel = LogMel(card.features).to(device)

    @classmethod
    def load(cls, folder: Path, device: str = "auto", threads: int | None = None) -> "Tagger":
        """`device` is auto, cpu or cuda; `threads` sets torch's threads for the whole process."""
        if threads is not None:
            torch.set_num_threads(threads)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        loaded = artifact.load(folder)
        return cls(loaded.card, loaded.model, torch.device(device))

    @property
    def labels(self) -> tuple[str, ...]:
        return self.card.labels

    def analyse(
        self,
        sources: Iterable[tuple[K, BinaryIO]],
        coverage: Coverage = "full",
        *,
        max_duration_s: float,
        on_progress: Callable[[], None] = lambda: None,
        sequential: bool = False,
        deterministic_batches: bool = False,
    ) -> Generator[tuple[K, Analysis | ItemError], None, None]:
        """Yield the analysis or the error of each track, in the order of completion.

        `sources` is iterated in other threads, a few tracks ahead; its files are closed. `on_progress` is
        called in the caller's thread at least once per decoded block; an exception from it ends the analysis.
        With `sequential`, a file is opened only after the one before is decoded: if the process crashes, the
        file opened last is to blame. With `deterministic_batches`, an analysis is bit-identical whatever
        other tracks are analysed with it.
        """
        threads = decoding_threads(self._device, sequential)
        tracks = ((PendingTrack(key, self._patches(coverage)), file) for key, file in sources)
        with decode_ahead(tracks, self._decode(coverage, max_duration_s), threads) as channel:
            yield from self._outcomes(channel, on_progress, deterministic_batches)

    def relabel(self, embeddings: np.ndarray) -> np.ndarray:
        """Scores (N, L) from mean embeddings of tracks (N, D); for transfer models only."""
        assert isinstance(self._model, Transfer)
        return postprocess_scores(self.card, self._model.scores(embeddings))

    def _patches(self, coverage: Coverage) -> PatchExtractor:
        kind = Patcher if coverage == "full" else WindowPatcher
        return kind(self._log_mel, self.card.model.patch_frames)

    def _decode(self, coverage: Coverage, max_duration_s: float) -> Decode:
        features, frames = self.card.features, self.card.model.patch_frames
        rate = features.sample_rate

        def whole(file: BinaryIO, cpu_time: CpuTime) -> Generator[np.ndarray, None, Decoded]:
            pieces = stream(file, rate, max_duration_s=max_duration_s, cpu_time=cpu_time)
            return (yield from with_waveform(pieces, rate))

        def windows(file: BinaryIO, cpu_time: CpuTime, count: int) -> Generator[np.ndarray, None, Decoded]:
            window_s = patch_samples(features, frames) / rate
            return (
                yield from stream_windows(
                    file, rate, count, window_s, max_duration_s=max_duration_s, cpu_time=cpu_time
                )
            )

        return whole if coverage == "full" else partial(windows, count=coverage.windows)

    def _outcomes(
        self,
        channel: Channel[Message[PendingTrack[K]]],
        on_progress: Callable[[], None],
        deterministic_batches: bool,
    ) -> Iterator[tuple[K, Analysis | ItemError]]:
        size = BATCH_SIZE[self._device.type]
        batcher: Batcher[K] = Batcher(
            self._model, self._device, size, self.timings, deterministic_batches=deterministic_batches
        )
        while not isinstance(message := _next_message(channel, on_progress), EndOfStream):
            if isinstance(message, Piece):
                if not len(message.samples):
                    continue
                completed = batcher.push(message.track, message.samples)
            else:
                self.timings.decode_s += message.decode_s
                self.timings.resample_s += message.resample_s
                if isinstance(message.outcome, ItemError):
                    batcher.drop(message.track)
                    yield message.track.key, message.outcome
                    continue
                message.track.warnings = message.outcome.warnings
                message.track.waveform = message.outcome.waveform
                completed = batcher.end(message.track, message.outcome.duration_s)
            yield from map(self._analysis, completed)
            while batcher.delays_a_track() and channel.would_wait():
                yield from map(self._analysis, batcher.run())
        while batcher.delays_a_track():
            yield from map(self._analysis, batcher.run())
        if message.error is not None:
            raise message.error

    def _analysis(self, track: PendingTrack[K]) -> tuple[K, Analysis]:
        scores, embedding = track.mean.result()
        if isinstance(self._model, Transfer):
            scores = self._model.scores(embedding)
        scores = postprocess_scores(self.card, scores)
        assert track.duration_s is not None
        self.timings.tracks += 1
        self.timings.audio_s += track.duration_s
        return track.key, Analysis(track.duration_s, scores, embedding, track.warnings, track.waveform)


def decoding_threads(device: torch.device, sequential: bool) -> int:
    """Several threads only if the model runs on a GPU, which would otherwise wait for decoding."""
    return 1 if sequential or device.type == "cpu" else min(4, os.cpu_count() or 1)


def _next_message(channel: Channel[Message[K]], on_progress: Callable[[], None]) -> Message[K]:
    message = channel.get()
    on_progress()
    return message


def postprocess_scores(card: ModelCard, scores: np.ndarray) -> np.ndarray:
    """Scores (..., L) as users get them: calibrated, and consistent.

    The scores of exclusive labels sum to 1; otherwise no parent label has a lower score than its children.
    """
    if card.calibration:
        scores = calibrate(scores, card.calibration).astype(np.float32)
    if is_single_label(card.model):
        return normalise(scores).astype(np.float32)
    if card.parents:
        scores = enforce_hierarchy(scores, card.labels, card.parents).astype(np.float32)
    return scores
