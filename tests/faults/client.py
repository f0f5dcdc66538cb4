"""Clients that submit, repeat what was not answered, poll, cancel, retry, and record all answers."""

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from core.ml.audio import packets
from core.states import TERMINAL_JOB_STATES
from tests.faults import library
from tests.faults.checker import LABELLED
from tests.faults.history import Acknowledged, Answer
from tests.faults.system import wait_until

POLL_EVERY_S = 0.3
RETRY_AFTER_S = 0.2
UPLOADS = 10**12  # the sounds from here on are in no folder
CANCEL_EVERY = 4  # submissions, from the second on, if they are of folders
# Of an upload: while it is written, or before, as soon as the gateway knows that nothing can be.
REFUSED_WRITES = ("The upload cannot be stored", "The data folder cannot be written")
ENDED_ALREADY = "ended before its cancel"
PATIENCE_S = 120.0  # for an acknowledgement: longer than any outage


def audio_hash(content: bytes) -> str:
    """The hex hash under which the result of a file is stored."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        return packets.audio_hash(file.fileno()).hex()


class NeverAcknowledged(AssertionError):
    """The service did not accept a job although it was asked again and again."""


@dataclass
class Submission:
    """What one client wants, and what it was answered."""

    key: str
    outcomes: Mapping[str, str]
    tracks: int
    upload: str | None = None  # hash
    cancel_at: int | None = None  # when it is known to have so many outcomes
    can_be_retried: bool = False
    job_ids: set[str] = field(default_factory=set)
    is_cancelling: bool = False  # has asked for it
    is_cancelled: bool = False  # its cancel was accepted; not where the job had ended before
    is_labelled: bool = False  # the answer to an upload was its prediction, which names no job

    def note(self, answer: Mapping[str, Any]) -> None:
        if "id" in answer:
            self.job_ids.add(answer["id"])
        else:
            self.is_labelled = True

    def acknowledged(self) -> Acknowledged:
        job_ids = frozenset(self.job_ids)
        return Acknowledged(self.key, job_ids, self.outcomes, self.upload, self.is_cancelled)


class Clients:
    """Use as a context manager: leaving it ends the polling. Safe to call from one thread."""

    def __init__(self, url: str, seed: int, music: Path, tracks_per_job: int) -> None:
        self.submissions: list[Submission] = []
        self.answered: list[Answer] = []
        self.answers: Counter[str] = Counter()  # by status, and connections that broke
        self.refused_writes = 0  # uploads that were answered with an error of the gateway's disk
        self._seed = seed
        self._music = music
        self._tracks_per_job = tracks_per_job
        self._ended: set[str] = set()
        self._http = httpx.Client(base_url=f"{url}/api/v1", timeout=20)
        self._pool = ThreadPoolExecutor(8)
        self._stop = threading.Event()
        self._poller = threading.Thread(target=self._poll, daemon=True)
        self._waiting: list[Future[None]] = []

    def __enter__(self) -> "Clients":
        self._request("POST", "/libraries", json={"name": "faults", "path": str(self._music)})
        self._poller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._poller.join()
        self._pool.shutdown()
        self._http.close()

    @property
    def tracks(self) -> int:
        """That clients have asked for, whether answered yet or not, and will not cancel."""
        return sum(submission.tracks for submission in self.submissions if submission.cancel_at is None)

    def open_jobs(self) -> int:
        """Submissions whose job has not been reported as ended."""
        return sum(not self._has_ended(submission) for submission in self.submissions)

    def _has_ended(self, submission: Submission) -> bool:
        return submission.job_ids <= self._ended if submission.job_ids else submission.is_labelled

    def submit_folder(self) -> None:
        """Submit a job over a folder of its own; some are cancelled in the middle."""
        number = len(self.submissions)
        name = f"{number:04d}"
        made = library.make_folder(self._music / name, 10_000 * self._seed + number, self._tracks_per_job)
        outcomes = {f"{name}/{file}": outcome for file, outcome in made.items()}
        params = {"library": "faults", "path": name}
        submission = Submission(self._next_key(), outcomes, len(outcomes))
        if number % CANCEL_EVERY == 1:
            submission.cancel_at = random.Random(submission.key).randrange(len(outcomes) // 2)
        else:
            submission.can_be_retried = True
        self._submit(submission, "/jobs", json={"kind": "analysis", "params": params})

    def submit_retry(self) -> bool:
        """Take up the failed tracks of a job that has ended, if there is one: they fail again."""
        for tried in self.submissions:
            if tried.can_be_retried and self._has_ended(tried):
                tried.can_be_retried = False
                (job_id,) = tried.job_ids
                failed = {path: code for path, code in tried.outcomes.items() if code != LABELLED}
                self._submit(Submission(self._next_key(), failed, 0), f"/jobs/{job_id}/retry")
                return True
        return False

    def submit_upload(self, duration_s: float = library.TRACK_S) -> None:
        """Upload one track; a long one does not fit into the gateway's memory for forms."""
        content = library.track(UPLOADS + 1000 * self._seed + len(self.submissions), duration_s)
        files = {"file": ("song.wav", content)}
        submission = Submission(self._next_key(), {}, 1, upload=audio_hash(content))
        self._submit(submission, "/analysis/predict", files=files, headers={"Prefer": "wait=0"})

    def wait(self, timeout_s: float) -> bool:
        """Until all requests are answered and all jobs said to have ended; False when that takes too long."""

        def is_over() -> bool:
            return not self.open_jobs() and all(request.done() for request in self._waiting)

        ended = wait_until(is_over, timeout_s)
        for request in self._waiting:
            if request.done():
                request.result()
        return ended

    def _next_key(self) -> str:
        return f"{self._seed}-{len(self.submissions)}"

    def _submit(
        self, submission: Submission, path: str, headers: Mapping[str, str] = {}, **body: Any
    ) -> None:
        self.submissions.append(submission)

        def ask() -> None:
            # Once more, as a client does that did not get the answer.
            for _ in range(2):
                keyed = {**headers, "Idempotency-Key": submission.key}
                submission.note(self._request("POST", path, headers=keyed, **body).json())

        self._waiting.append(self._pool.submit(ask))

    def _cancel(self, submission: Submission, job_id: str) -> None:
        """Repeated until it is answered: to cancel twice is to cancel once."""
        if submission.is_cancelling:
            return
        submission.is_cancelling = True

        def ask() -> None:
            answer = self._request("POST", f"/jobs/{job_id}/cancel", also=httpx.codes.CONFLICT)
            submission.is_cancelled = answer.is_success

        self._waiting.append(self._pool.submit(ask))

    def _request(self, method: str, path: str, also: int | None = None, **arguments: Any) -> httpx.Response:
        """Ask until there is a good answer, or that of the status `also`."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                response = self._http.request(method, path, **arguments)
            except httpx.TransportError as error:
                self.answers[type(error).__name__] += 1
            else:
                if response.status_code == also:
                    self.answers[ENDED_ALREADY] += 1
                    return response
                self.answers[str(response.status_code)] += 1
                self.refused_writes += any(refusal in response.text for refusal in REFUSED_WRITES)
                if response.is_success:
                    return response
            time.sleep(RETRY_AFTER_S)
        raise NeverAcknowledged(f"{method} {path} had no good answer for {PATIENCE_S} s: {self.answers}")

    def _poll(self) -> None:
        while not self._stop.wait(POLL_EVERY_S):
            for submission in list(self.submissions):
                for job_id in set(submission.job_ids) - self._ended:
                    self._look(submission, job_id)

    def _look(self, submission: Submission, job_id: str) -> None:
        try:
            response = self._http.get(f"/jobs/{job_id}")
        except httpx.TransportError as error:
            self.answers[type(error).__name__] += 1
            return
        self.answers[str(response.status_code)] += 1
        if response.is_success:
            job = response.json()
            progress = job["progress"]
            counts = [progress[name] for name in ("total", "done", "failed", "skipped")]
            self.answered.append(Answer(job_id, job["state"], *counts))
            if job["state"] in TERMINAL_JOB_STATES:
                self._ended.add(job_id)
            elif submission.cancel_at is not None and sum(counts[1:]) >= submission.cancel_at:
                self._cancel(submission, job_id)
