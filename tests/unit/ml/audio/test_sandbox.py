"""Decoding in a helper: the same samples, nothing in reach, and a helper that fails costs its file only."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from core.errors import Corrupt, ItemError, TooComplex, Undecodable, Unreadable
from core.library.content import TagReading
from core.library.tags import read_tags
from core.ml.audio import decode
from core.ml.audio.sandbox import CpuTime, Sandbox, client, process
from core.settings import PROJECT
from tests.support import sounds
from tests.support.memory import peak_kb, reset_peak_kb
from tests.support.stack import eventually

RATE = 16_000
LONGEST_S = 3600
FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "aiff")
AV_FORMATS = (("mp4", "aac"), ("adts", "aac"), ("asf", "wmav2"))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with closing(Sandbox()) as made:
        yield made


@pytest.fixture(scope="module")
def failing() -> Iterator[Sandbox]:
    with closing(Sandbox("tests.support.failing_helper")) as made:
        yield made


def stream(sandbox: Sandbox, path: Path) -> sounds.Samples:
    with path.open("rb") as file:
        return np.concatenate(list(sandbox.stream(file, RATE, max_duration_s=LONGEST_S)))


def order(path: Path, words: str) -> Path:
    path.write_text(words)
    return path


def music(folder: Path, duration_s: float = 4, name: str = "music.wav") -> Path:
    return sounds.write(folder / name, sounds.noise(duration_s))


def the_helper(sandbox: Sandbox) -> psutil.Process:
    (idle,) = sandbox._idle
    return psutil.Process(idle.pid)


def encoded(suffix: str) -> bytes:
    samples = sounds.stereo(sounds.noise(25, 48_000, seed=1), sounds.noise(25, 48_000, seed=2))
    return sounds.encode(samples, 48_000, suffix)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_samples_are_those_of_decoding_here(sandbox, tmp_path, suffix):
    path = tmp_path / "a"
    path.write_bytes(encoded(suffix))
    with path.open("rb") as file:
        file.seek(7)
        blocks = list(sandbox.stream(file, RATE, max_duration_s=LONGEST_S))
        here = list(decode.stream(file, RATE, max_duration_s=LONGEST_S))
        assert len(blocks) == len(here) >= 2
        np.testing.assert_array_equal(np.concatenate(blocks), np.concatenate(here))
        windows, track = sandbox.decode_windows(file, RATE, 3, 2.0, max_duration_s=LONGEST_S)
        windows_here, track_here = decode.decode_windows(file, RATE, 3, 2.0, max_duration_s=LONGEST_S)
        np.testing.assert_array_equal(windows, windows_here)
        assert track == track_here
        assert file.tell() == 7


@pytest.mark.parametrize(("container", "codec"), AV_FORMATS)
def test_what_ffmpeg_decodes_it_decodes_in_the_sandbox(sandbox, tmp_path, container, codec):
    path = tmp_path / "a"
    path.write_bytes(sounds.encode_av(sounds.noise(25, 48_000), 48_000, container, codec))
    with path.open("rb") as file:
        here = np.concatenate(list(decode.stream(file, RATE, max_duration_s=LONGEST_S)))
    np.testing.assert_array_equal(stream(sandbox, path), here)


@pytest.mark.parametrize("kind", sounds.BAD_CONTENTS)
def test_bad_files_have_the_same_codes(sandbox, tmp_path, kind):
    path = sounds.bad_file(kind, tmp_path / "a.mp3")
    with pytest.raises(ItemError) as raised:
        stream(sandbox, path)
    assert raised.value.code == sounds.BAD_FILES[kind]
    assert len(sandbox._idle) == 1


def test_windows_as_long_as_the_track_come_in_one_piece(sandbox, tmp_path):
    path = music(tmp_path, 60)
    with path.open("rb") as file:
        ((window,), track) = sandbox.decode_windows(file, RATE, 1, 60.0, max_duration_s=LONGEST_S)
    np.testing.assert_array_equal(window, stream(sandbox, path))
    assert track.duration_s == 60


def test_searching_for_windows_shows_progress(sandbox, tmp_path):
    path = tmp_path / "a.m4a"
    path.write_bytes(sounds.encode_av(sounds.noise(45, 44_100), 44_100, "mp4", "aac"))
    with path.open("rb") as file:
        pieces = list(sandbox.stream_windows(file, RATE, 2, 3.0, max_duration_s=LONGEST_S))
    assert [len(piece) for piece in pieces[-2:]] == [3 * RATE] * 2
    assert len(pieces) >= 6
    assert not any(map(len, pieces[:-2]))


def test_tags_are_the_same(sandbox, tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(sounds.encode_av(sounds.noise(2, RATE), RATE, "mp3", "mp3", title="Größe 曲".encode()))
    with path.open("rb") as file:
        assert sandbox.read_tags(file) == read_tags(file) == TagReading({"title": "Größe 曲"})


def test_cpu_time_is_reported(sandbox, tmp_path):
    path = sounds.write(tmp_path / "a.flac", sounds.noise(60, 44_100), 44_100)
    cpu_time = CpuTime()
    with path.open("rb") as file:
        list(sandbox.stream(file, RATE, max_duration_s=LONGEST_S, cpu_time=cpu_time))
    assert 0 < cpu_time.resample_s < 10
    assert 0 < cpu_time.decode_s < 10


@pytest.mark.parametrize(
    "way", ["segv", "exit", "abort", "nonsense", "babble", "nested", "endless", "swell", "unread"]
)
def test_a_decoder_that_crashes_or_lies_twice_costs_its_file(failing, tmp_path, way, caplog):
    with pytest.raises(Undecodable, match="twice"):
        stream(failing, order(tmp_path / "bad", way))
    assert len(stream(failing, music(tmp_path))) == 4 * RATE
    assert f"a decoding helper died at {str(tmp_path / 'bad')!r}" in caplog.text


def test_a_decoder_cannot_fill_its_workers_memory(failing, tmp_path):
    before_kb = reset_peak_kb()
    with pytest.raises(Undecodable, match="more than was requested"):
        stream(failing, order(tmp_path / "bad", "swell"))
    assert peak_kb() - before_kb < 50 << 10


IMPOSSIBLE_PROGRESS = ["inf", "nan", "-1", "0", "1e9", "1" + 400 * "0", "[]", '"a"']


@pytest.mark.slow  # two helpers start for each
@pytest.mark.parametrize("message", [f'{{"decoded_s": {message}}}' for message in IMPOSSIBLE_PROGRESS])
def test_impossible_progress_is_refused(failing, tmp_path, message):
    message = message.replace("inf", "Infinity").replace("nan", "NaN")
    with order(tmp_path / "bad", f"say {message}").open("rb") as file, pytest.raises(Undecodable):
        failing.decode_windows(file, RATE, 2, 1.0, max_duration_s=LONGEST_S)


ENDS = {
    "a disk": {"errno": 28},
    "no error": {"error": "nothing of the kind", "detail": ""},
    "no item's error": {"error": "job_failed", "detail": ""},
    "no time": {"cpu_s": float("inf")},
    "time": {"resample_s": float("nan")},
    "duration": {"duration_s": float("nan")},
    "nothing": {},
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_an_end_that_cannot_be_costs_its_file_only(failing, tmp_path, end):
    words = json.dumps({"end": True, "cpu_s": 0, "resample_s": 0, "duration_s": 1} | end)
    with order(tmp_path / "bad", f"say {words}").open("rb") as file:
        with pytest.raises(Corrupt):
            list(failing.stream(file, RATE, max_duration_s=LONGEST_S))
        failing.close()  # it has an answer too many
        with pytest.raises(Corrupt):
            failing.decode_windows(file, RATE, 2, 1.0, max_duration_s=LONGEST_S)
        failing.close()


@pytest.mark.parametrize("warnings", [5, None, {"a": 1}, ["x" * 10_000] * 1000, ["\0\ud800"], [[]]])
def test_warnings_that_a_helper_gives_are_few_and_short_text(warnings):
    try:
        track = client._decoded({"duration_s": 1, "warnings": warnings}, 60)
    except Corrupt:
        return
    assert len(track.warnings) <= 8
    for warning in track.warnings:
        assert len(warning) <= 300
        assert "\0" not in warning
        warning.encode()


def test_a_decoder_that_ends_without_a_sample_is_refused(failing, tmp_path):
    with pytest.raises(Corrupt):
        stream(failing, order(tmp_path / "bad", "nothing"))


def test_what_fails_in_a_helper_is_no_fault_of_the_machine(failing, tmp_path):
    with pytest.raises(Unreadable, match="No space left"):
        stream(failing, order(tmp_path / "bad", "full"))


def test_tags_have_a_second_try_too(failing, tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(sounds.encode_av(sounds.noise(2, RATE), RATE, "mp3", "mp3", title=b"Song"))
    with order(tmp_path / "bad", "poison").open("rb") as bad, path.open("rb") as good:
        assert failing.read_tags(bad).tags == {}
        assert failing.read_tags(good) == TagReading({"title": "Song"})


@pytest.mark.slow  # two helpers start for each
@pytest.mark.parametrize("way", ["segv", "nonsense", "nested", "unread", 'say {"decoded_s": 1}'])
def test_tags_that_helpers_die_at_are_unreadable(failing, tmp_path, way):
    with order(tmp_path / "bad", way).open("rb") as file:
        reading = failing.read_tags(file)
        assert reading.tags == {}
        assert "cannot be read" in reading.error
        assert reading.is_provisional
        assert failing.hash_audio(file) is None


def test_a_disk_that_does_not_give_the_file_says_nothing_of_its_tags(failing, tmp_path):
    with order(tmp_path / "bad", "full").open("rb") as file:
        for reader in (failing.read_tags, failing.hash_audio):
            with pytest.raises(Unreadable):
                reader(file)


def test_samples_that_are_not_finite_are_refused(failing, tmp_path):
    with pytest.raises(Corrupt):
        stream(failing, order(tmp_path / "bad", "numbers"))


def test_an_unexpected_error_of_a_decoder_is_logged(failing, tmp_path, caplog):
    with pytest.raises(Corrupt, match=r"^The audio cannot be decoded\.$"):
        stream(failing, order(tmp_path / "bad", "forget"))
    (record,) = [each for each in caplog.records if "unexpected error" in each.message]
    assert "ZeroDivisionError" in record.message
    assert "\n" not in record.message


def test_a_decoder_that_hangs_is_given_up(failing, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "STALL_S", 1)
    with pytest.raises(Undecodable, match="hung"):
        stream(failing, order(tmp_path / "bad", "hang"))


def test_a_decoder_that_never_comes_to_an_end_is_stopped(failing, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "CPU_S", 0.3)
    with pytest.raises(TooComplex):
        stream(failing, order(tmp_path / "bad", "spin"))


def test_a_decoder_that_takes_all_memory_gets_none(failing, tmp_path):
    stream(failing, music(tmp_path))
    with pytest.raises(TooComplex, match="memory"):
        stream(failing, order(tmp_path / "bad", "balloon"))
    assert peak_kb(the_helper(failing).pid) < 1 << 20


def test_samples_go_on_where_a_killed_helper_left_off(sandbox, tmp_path):
    path = sounds.write(tmp_path / "a.flac", sounds.noise(200, 44_100), 44_100)
    whole = stream(sandbox, path)
    victim = the_helper(sandbox)
    with path.open("rb") as file:
        blocks = sandbox.stream(file, RATE, max_duration_s=LONGEST_S)
        first = [next(blocks) for _ in range(3)]
        victim.kill()
        np.testing.assert_array_equal(np.concatenate([*first, *blocks]), whole)
    assert the_helper(sandbox).pid != victim.pid


def test_an_idle_helper_may_die(sandbox, tmp_path):
    path = music(tmp_path)
    stream(sandbox, path)
    the_helper(sandbox).kill()
    assert len(stream(sandbox, path)) == 4 * RATE
    the_helper(sandbox).kill()
    with path.open("rb") as file:
        assert sandbox.read_tags(file) == TagReading()


def test_leaving_early_leaves_nothing_behind(sandbox, tmp_path):
    path = music(tmp_path, 100)
    stream(sandbox, path)
    the_helper(sandbox)
    sandbox.close()
    before = len(os.listdir("/proc/self/fd"))
    with path.open("rb") as file:
        blocks = sandbox.stream(file, RATE, max_duration_s=LONGEST_S)
        next(blocks)
        blocks.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert sandbox._idle == []
    assert len(stream(sandbox, path)) == 100 * RATE


def test_threads_have_a_helper_each(tmp_path):
    shared = Sandbox()
    paths = [music(tmp_path, 5 + number, f"{number}.wav") for number in range(4)]
    together = threading.Barrier(4)

    def decode_one(path: Path) -> int:
        with path.open("rb") as file:
            blocks = shared.stream(file, RATE, max_duration_s=LONGEST_S)
            samples = len(next(blocks))
            together.wait(timeout=60)
            return samples + sum(map(len, blocks))

    with closing(shared), ThreadPoolExecutor(4) as pool:
        assert list(pool.map(decode_one, paths)) == [(5 + number) * RATE for number in range(4)]
        assert len(shared._idle) == 4


@pytest.mark.slow
def test_a_thousand_files_leak_nothing(sandbox, tmp_path):
    good, bad = music(tmp_path, 1.5), sounds.bad_file("truncated_flac", tmp_path / "bad.flac")
    stream(sandbox, good)
    first, before = the_helper(sandbox), len(os.listdir("/proc/self/fd"))
    for _ in range(500):
        stream(sandbox, good)
        with suppress(Corrupt):
            stream(sandbox, bad)
    last = the_helper(sandbox)
    assert last.pid != first.pid, "a helper is replaced after a while"
    assert len(os.listdir("/proc/self/fd")) == before
    assert last.num_fds() <= 5
    assert last.memory_info().rss < 150 << 20


def test_a_helper_knows_no_secrets_and_no_torch(tmp_path, monkeypatch):
    monkeypatch.setenv("MFA_DATABASE_URL", "postgresql://user:secret@host/db")
    monkeypatch.setenv("PYTHONSTARTUP", "/nowhere")
    with closing(Sandbox()) as sandbox:
        stream(sandbox, music(tmp_path))
        running = the_helper(sandbox)
        assert set(running.environ()) == set(process._ENVIRONMENT)
        assert not any("secret" in value for value in running.environ().values())
        assert not any("torch" in mapped.path for mapped in running.memory_maps())
        assert running.open_files() == []


@pytest.mark.parametrize(
    "target", ["read /etc/passwd", "read {project}/core/settings.py", "write {folder}/new", "memory"]
)
def test_no_file_is_in_reach(failing, tmp_path, target):
    _needs(failing, tmp_path, "Landlock" if target != "memory" else "seccomp")
    words = "reach " + target.format(folder=tmp_path, project=PROJECT)
    assert reached(failing, tmp_path, words) in ("EACCES", "EPERM", "EFBIG")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "target", ["connect {port}", "unix {folder}/door", "run /bin/true", "fork", "kill {pid}"]
)
def test_other_processes_are_out_of_reach(failing, tmp_path, target):
    _needs(failing, tmp_path, "seccomp")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "door"))
        unix.listen()
        words = target.format(port=tcp.getsockname()[1], folder=tmp_path, pid=os.getpid())
        assert reached(failing, tmp_path, f"reach {words}") in ("EACCES", "EPERM", "EAGAIN")


def reached(failing: Sandbox, folder: Path, words: str) -> str:
    with pytest.raises(Corrupt) as raised:
        stream(failing, order(folder / "bad", words))
    return raised.value.detail


def _needs(sandbox: Sandbox, folder: Path, name: str) -> None:
    stream(sandbox, music(folder))
    lacking = sandbox._idle[0].lacking
    if any(name in each for each in lacking):
        pytest.skip(f"this system lacks {lacking}")


def test_missing_features_of_a_system_are_logged_once(tmp_path, caplog):
    with closing(Sandbox("tests.support.open_helper")) as sandbox:
        for _ in range(3):
            assert len(stream(sandbox, music(tmp_path))) == 4 * RATE
            sandbox.close()
    assert caplog.text.count("as this system lacks: Landlock, seccomp") == 1


def test_a_helper_that_does_not_start_is_no_files_fault(tmp_path, capfd):
    with closing(Sandbox("tests.no_such_helper")) as sandbox, pytest.raises(ChildProcessError):
        stream(sandbox, music(tmp_path))
    assert "no_such_helper" in capfd.readouterr().err


BUSY = """
import sys
from core.ml.audio.sandbox import Sandbox
sandbox = Sandbox("tests.support.failing_helper")
with open(sys.argv[1], "rb") as file:
    list(sandbox.stream(file, 16000, max_duration_s=60))
"""


@pytest.mark.parametrize("way", ["spin", "hang"])
def test_a_busy_helper_ends_with_its_worker(tmp_path, way):
    path = order(tmp_path / "bad", way)
    argv = [sys.executable, "-c", BUSY, str(path)]
    with subprocess.Popen(argv, cwd=PROJECT, env=os.environ | {"PYTHONPATH": str(PROJECT)}) as worker:
        (helper,) = eventually(lambda: psutil.Process(worker.pid).children())
        eventually(lambda: str(path) in [opened.path for opened in helper.open_files()])
        worker.send_signal(signal.SIGKILL)
    eventually(lambda: not helper.is_running() or helper.status() == psutil.STATUS_ZOMBIE)
