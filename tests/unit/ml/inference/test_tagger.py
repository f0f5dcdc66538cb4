import errno
import io
import itertools
import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, get_ident
from typing import Any, BinaryIO, cast

import numpy as np
import pytest
import torch

from core.config.models import AudioCNNConfig, Calibration, FeatureConfig, MusicnnConfig, Windows
from core.errors import Corrupt, ItemError, Silent, TooLong, TooShort, Undecodable
from core.ml.audio.features import LogMel
from core.ml.audio.sandbox import Sandbox
from core.ml.audio.source import Decoded
from core.ml.evaluation.calibration import calibrate
from core.ml.inference import tagger as tagger_module
from core.ml.inference.decoding import PIECES_AHEAD
from core.ml.inference.tagger import Analysis, Tagger, decoding_threads, postprocess_scores
from core.ml.inference.timings import StageTimings
from core.ml.models.artifact import ModelCard
from core.ml.models.musicnn import Musicnn
from tests.support.sounds import bad_file, noise, write

RATE = 16_000
LONGEST_S = 600


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    """A tagger with a tiny model whose scores are arbitrary but differ between sounds."""
    torch.manual_seed(3)
    config = MusicnnConfig(timbral_filters=3, temporal_filters=2, mid_channels=4, embedding_size=6)
    card = ModelCard(
        name="tiny",
        version=1,
        embedding="tiny-1/penultimate",
        model=config,
        features=FeatureConfig(),
        labels=("calm", "loud", "odd"),
        thresholds=(0.2, 0.2, 0.2),
    )
    model = Musicnn(config, card.features, len(card.labels)).eval().requires_grad_(False)
    return Tagger(card, model, torch.device("cpu"))


def opened(paths: list[Path]) -> Iterator[tuple[str, BinaryIO]]:
    for path in paths:
        yield path.name, path.open("rb")


def analyse(tagger: Tagger, paths: list[Path]) -> dict[str, Analysis | ItemError]:
    outcomes = list(tagger.analyse(opened(paths), max_duration_s=LONGEST_S))
    assert len(outcomes) == len(paths)
    return dict(outcomes)


def analyse_good(tagger: Tagger, paths: list[Path]) -> dict[str, Analysis]:
    outcomes = analyse(tagger, paths)
    assert all(isinstance(outcome, Analysis) for outcome in outcomes.values())
    return cast(dict[str, Analysis], outcomes)


def running_decoders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("decode-")]


def music(folder: Path, name: str, duration_s: float, seed: int = 0) -> Path:
    return write(folder / name, noise(duration_s, RATE, seed), RATE)


def expected(tagger: Tagger, path: Path) -> np.ndarray:
    """Scores of a noise file by the definition: mean of the probabilities of all whole patches."""
    duration_s = {"one.wav": 4.0, "two.wav": 13.5}[path.name]
    waveform = torch.from_numpy(noise(duration_s, RATE, seed=1))
    frames = LogMel(tagger.card.features)(waveform[None])[0, 0]
    patches = torch.stack(torch.split(frames, 187, dim=1)[: frames.shape[1] // 187]).unsqueeze(1)
    scores: np.ndarray = tagger._model(patches)[0].sigmoid().mean(0).numpy()
    return scores


def test_scores_are_the_mean_over_all_whole_patches(tagger, tmp_path):
    paths = [music(tmp_path, "one.wav", 4.0, seed=1), music(tmp_path, "two.wav", 13.5, seed=1)]
    outcomes = analyse_good(tagger, paths)
    for path in paths:
        outcome = outcomes[path.name]
        assert outcome.scores.shape == (3,)
        assert outcome.embedding.shape == (6,)
        assert outcome.scores.dtype == outcome.embedding.dtype == np.float32
        np.testing.assert_allclose(outcome.scores, expected(tagger, path), atol=1e-3)
    assert [outcomes[path.name].duration_s for path in paths] == pytest.approx([4.0, 13.5])


def test_bad_files_cost_only_themselves(tagger, tmp_path):
    paths = [
        music(tmp_path, "good.wav", 7),
        bad_file("silent", tmp_path / "silent.flac"),
        bad_file("truncated_mp3", tmp_path / "half.mp3"),
        music(tmp_path, "short.flac", 1.5),
        bad_file("too_short", tmp_path / "too_short.wav"),
        music(tmp_path, "too_long.wav", LONGEST_S + 1),
        music(tmp_path, "also_good.ogg", 9, seed=2),
    ]
    outcomes = analyse(tagger, paths)
    kinds = {name: type(outcome) for name, outcome in outcomes.items()}
    assert kinds == {
        "good.wav": Analysis,
        "silent.flac": Silent,
        "half.mp3": Corrupt,
        "short.flac": Analysis,
        "too_short.wav": TooShort,
        "too_long.wav": TooLong,
        "also_good.ogg": Analysis,
    }
    last = outcomes["also_good.ogg"]
    assert isinstance(last, Analysis)
    alone = analyse_good(tagger, paths[-1:])["also_good.ogg"]
    np.testing.assert_allclose(last.scores, alone.scores, atol=1e-5)


def test_neighbours_and_order_do_not_change_a_result(tagger, tmp_path):
    paths = [music(tmp_path, f"{seed}.wav", 2 + 2.5 * seed, seed) for seed in range(6)]
    forwards, backwards = analyse_good(tagger, paths), analyse_good(tagger, paths[::-1])
    for name, outcome in forwards.items():
        np.testing.assert_allclose(outcome.scores, backwards[name].scores, atol=1e-5)
        np.testing.assert_allclose(outcome.embedding, backwards[name].embedding, atol=1e-4)


def test_windows_cover_only_parts_of_a_track(tagger, tmp_path):
    path = music(tmp_path, "long.flac", 60)
    ((_, few),) = tagger.analyse(opened([path]), Windows(windows=3), max_duration_s=LONGEST_S)
    full = analyse_good(tagger, [path])["long.flac"]
    assert isinstance(few, Analysis)
    assert few.duration_s == full.duration_s == pytest.approx(60)
    np.testing.assert_allclose(few.scores, full.scores, atol=0.05)
    assert not np.array_equal(few.scores, full.scores)


@pytest.mark.parametrize("duration_s", [1.2, 3.0, 3.5, 10])
def test_windows_of_a_short_track_cover_all_of_it(tagger, tmp_path, duration_s):
    path = music(tmp_path, "short.wav", duration_s)
    ((_, outcome),) = tagger.analyse(opened([path]), Windows(windows=8), max_duration_s=LONGEST_S)
    assert isinstance(outcome, Analysis)
    assert outcome.duration_s == pytest.approx(duration_s)
    assert np.isfinite(outcome.scores).all()


def test_no_tracks_give_no_outcomes(tagger):
    assert list(tagger.analyse([], max_duration_s=LONGEST_S)) == []
    assert running_decoders() == []


def test_sources_are_asked_for_a_few_tracks_ahead_only(tagger, tmp_path):
    path = music(tmp_path, "short.wav", 1.5)
    taken: list[BinaryIO] = []

    def sources() -> Iterator[tuple[int, BinaryIO]]:
        for number in range(200):
            taken.append(path.open("rb"))
            yield number, taken[-1]

    outcomes = tagger.analyse(sources(), max_duration_s=LONGEST_S)
    for _ in range(3):
        next(outcomes)
    assert len(taken) <= 3 + PIECES_AHEAD
    outcomes.close()
    assert all(file.closed for file in taken)
    assert running_decoders() == []


def test_a_result_does_not_wait_for_the_next_source(tagger, tmp_path):
    path = music(tmp_path, "short.wav", 1.5)
    go_on = Event()

    def sources() -> Iterator[tuple[str, BinaryIO]]:
        yield "first", path.open("rb")
        assert go_on.wait(timeout=60)
        yield "second", path.open("rb")

    outcomes = tagger.analyse(sources(), max_duration_s=LONGEST_S)
    assert next(outcomes)[0] == "first"
    go_on.set()
    assert [key for key, _ in outcomes] == ["second"]


def test_an_error_of_the_sources_comes_after_what_went_well(tagger, tmp_path):
    path = music(tmp_path, "short.wav", 1.5)

    def sources() -> Iterator[tuple[str, BinaryIO]]:
        yield "first", path.open("rb")
        raise LookupError("the list of tracks is gone")

    outcomes = tagger.analyse(sources(), max_duration_s=LONGEST_S)
    assert next(outcomes)[0] == "first"
    with pytest.raises(LookupError, match="the list of tracks is gone"):
        next(outcomes)
    assert running_decoders() == []


def failing_at_the_second(error: Exception) -> Callable[..., Generator[np.ndarray, None, Decoded]]:
    files = itertools.count()

    def stream(file: BinaryIO, sample_rate: int, **_: Any) -> Generator[np.ndarray, None, Decoded]:
        yield noise(5)
        if next(files) == 1:
            raise error
        return Decoded(5)

    return stream


def test_an_unexpected_error_of_a_decoder_costs_its_file_and_is_logged(tagger, monkeypatch, caplog):
    monkeypatch.setattr(tagger_module, "stream", failing_at_the_second(ZeroDivisionError()))
    files = [io.BytesIO() for _ in range(3)]
    outcomes = dict(tagger.analyse(enumerate(files), max_duration_s=LONGEST_S))
    assert isinstance(outcomes[0], Analysis)
    assert isinstance(outcomes[1], Corrupt)
    assert outcomes[1].detail == "The audio cannot be decoded."
    assert isinstance(outcomes[2], Analysis)
    assert "ZeroDivisionError" in caplog.text
    assert all(file.closed for file in files)


def test_a_file_that_crashes_its_decoder_costs_only_itself(tagger, tmp_path, monkeypatch):
    (tmp_path / "poison.mp3").write_text("segv")
    paths = [music(tmp_path, "a.wav", 5), tmp_path / "poison.mp3", music(tmp_path, "b.wav", 5, seed=1)]
    with closing(Sandbox("tests.support.failing_helper")) as failing:
        monkeypatch.setattr(tagger_module, "stream", failing.stream)
        outcomes = analyse(tagger, paths)
    assert [type(outcomes[path.name]) for path in paths] == [Analysis, Undecodable, Analysis]


def test_a_decoder_that_does_not_start_is_blamed_on_no_file(tagger, tmp_path, monkeypatch):
    with closing(Sandbox("tests.no_such_helper")) as missing:
        monkeypatch.setattr(tagger_module, "stream", missing.stream)
        with pytest.raises(ChildProcessError):
            analyse(tagger, [music(tmp_path, "a.wav", 5)])


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), MemoryError()])
def test_what_the_machine_lacks_is_blamed_on_no_file(tagger, monkeypatch, error):
    monkeypatch.setattr(tagger_module, "stream", failing_at_the_second(error))
    files = [io.BytesIO() for _ in range(3)]
    with pytest.raises(type(error)):
        list(tagger.analyse(enumerate(files), max_duration_s=LONGEST_S))
    assert files[1].closed
    assert running_decoders() == []


def test_progress_is_reported_in_the_callers_thread_once_per_block(tagger, tmp_path):
    told: list[int] = []
    path = music(tmp_path, "long.wav", 65)
    outcomes = tagger.analyse(
        opened([path]), max_duration_s=LONGEST_S, on_progress=lambda: told.append(get_ident())
    )
    ((_, outcome),) = outcomes
    assert isinstance(outcome, Analysis)
    assert len(told) >= 7
    assert set(told) == {get_ident()}


def test_progress_that_raises_ends_the_analysis(tagger, tmp_path):
    path = music(tmp_path, "short.wav", 1.5)
    taken: list[BinaryIO] = []

    def sources() -> Iterator[tuple[int, BinaryIO]]:
        for number in range(200):
            taken.append(path.open("rb"))
            yield number, taken[-1]

    def abort() -> None:
        raise InterruptedError("the job was cancelled")

    with pytest.raises(InterruptedError, match="cancelled"):
        next(tagger.analyse(sources(), max_duration_s=LONGEST_S, on_progress=abort))
    assert len(taken) <= 2 + PIECES_AHEAD
    assert all(file.closed for file in taken)
    assert running_decoders() == []


def test_a_sequential_analysis_opens_a_file_after_the_one_before_is_decoded(tagger, monkeypatch):
    events: list[str] = []

    def logged(file: BinaryIO, sample_rate: int, **_: Any) -> Generator[np.ndarray, None, Decoded]:
        for seed in range(3):
            yield noise(5, seed=seed)
        events.append("decoded")
        return Decoded(15)

    def sources() -> Iterator[tuple[int, BinaryIO]]:
        for number in range(5):
            events.append("opened")
            yield number, io.BytesIO()

    monkeypatch.setattr(tagger_module, "stream", logged)
    assert len(list(tagger.analyse(sources(), max_duration_s=LONGEST_S, sequential=True))) == 5
    assert events == ["opened", "decoded"] * 5


def test_only_a_model_on_a_gpu_has_several_decoding_threads_and_never_a_sequential_analysis():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert decoding_threads(cpu, sequential=False) == decoding_threads(cuda, sequential=True) == 1
    assert 1 <= decoding_threads(cuda, sequential=False) <= 4


def test_a_long_mix_never_sits_in_memory(tagger, monkeypatch):
    alive: set[int] = set()
    most = 0

    def endless(file: BinaryIO, sample_rate: int, **_: Any) -> Generator[np.ndarray, None, Decoded]:
        nonlocal most
        for number in range(100):
            block = noise(10, seed=number)
            alive.add(number)
            weakref.finalize(block, alive.discard, number)
            most = max(most, len(alive))
            yield block
        return Decoded(1000)

    monkeypatch.setattr(tagger_module, "stream", endless)
    ((_, outcome),) = tagger.analyse([("mix", io.BytesIO())], max_duration_s=LONGEST_S)
    assert isinstance(outcome, Analysis)
    assert outcome.duration_s == 1000
    assert most <= PIECES_AHEAD + 4


def test_timings_add_up(tagger, tmp_path):
    before = tagger.timings
    tagger.timings = type(before)()
    analyse(tagger, [music(tmp_path, "a.wav", 4), write(tmp_path / "b.wav", noise(5, 44_100), 44_100)])
    timings = tagger.timings + type(before)(tracks=1)
    assert timings.tracks == 3
    assert timings.audio_s == pytest.approx(9)
    assert list(timings.stages()) == ["decode", "resample", "mel", "cnn"]
    assert min(timings.stages().values()) > 0


@pytest.mark.parametrize("coverage", ["full", Windows(windows=2)])
@pytest.mark.parametrize(("rate", "resamples"), [(RATE, False), (44_100, True)])
def test_resampling_is_measured_separately_from_decoding(tagger, tmp_path, coverage, rate, resamples):
    path = write(tmp_path / "a.wav", noise(20, rate), rate)
    tagger.timings = StageTimings()
    list(tagger.analyse(opened([path]), coverage, max_duration_s=LONGEST_S))
    assert (tagger.timings.resample_s > 0) == resamples
    assert tagger.timings.decode_s > 0


def test_a_parent_has_no_lower_score_than_its_children(tagger, tmp_path):
    path = music(tmp_path, "song.wav", 4.0)
    before = analyse_good(tagger, [path])["song.wav"].scores
    lowest, highest = (tagger.labels[column] for column in (before.argmin(), before.argmax()))
    card = tagger.card.model_copy(update={"parents": {highest: lowest}})
    raised = Tagger(card, tagger._model, torch.device("cpu"))
    after = analyse_good(raised, [path])["song.wav"].scores
    assert after.dtype == np.float32
    assert after[before.argmin()] == before.max() > before.min()
    assert np.delete(after, before.argmin()) == pytest.approx(np.delete(before, before.argmin()))


def test_calibration_moves_scores_by_their_logit():
    calibration = Calibration(slopes=(1.0, 2.0, 1.0), offsets=(0.0, 0.0, 1.0))
    scores = calibrate(np.array([0.3, 0.8, 0.5], np.float32), calibration)
    np.testing.assert_allclose(scores, [0.3, 16 / 17, 1 / (1 + np.exp(-1))], rtol=1e-5)


def test_labels_that_exclude_each_other_add_up_to_one_however_they_are_calibrated(tagger):
    """Also with one sigmoid per label, as models of earlier versions have it: their labels stay the same."""
    scores = np.array([[0.5, 0.3, 0.2], [0.9, 0.06, 0.04], [0, 0, 0]], np.float32)
    update = {"labels": ("a", "b", "c"), "model": AudioCNNConfig(single_label=True), "parents": {"a": "b"}}
    old = Calibration(slopes=(1.0, 1.0, 1.0), offsets=(-3.0, 0.0, 0.0))
    new = Calibration(slopes=(2.0, 2.0, 2.0), offsets=(0.0, 0.0, 0.0), form="softmax")
    for calibration, best in ((None, [0, 0]), (old, [1, 0]), (new, [0, 0])):
        card = tagger.card.model_copy(update=update | {"calibration": calibration})
        found = postprocess_scores(card, scores)
        assert found.dtype == np.float32
        assert found.sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
        assert found[:2].argmax(axis=1).tolist() == best
    np.testing.assert_allclose(postprocess_scores(card, scores)[0], np.square(scores[0]) / 0.38, rtol=1e-5)
