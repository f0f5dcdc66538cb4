"""Trials of a study: one unit each, started and ended once, whatever happens in between."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text

from core.config.params import TuningParams
from core.config.tuning import TuningConfig
from core.errors import GridExhausted, StudyAtWork, TrainingDiverged
from core.jobs.endings import MAX_ATTEMPTS, finish_complete_jobs
from core.jobs.jobs import cancel_job
from core.jobs.kinds import SubmissionContext
from core.jobs.progress import get_progress
from core.jobs.reaping import MAX_CRASHES, cancel_waiting
from core.jobs.submission import submit_job
from core.jobs.workers import record_heartbeat
from core.ml.training.context import TrainingStopped
from core.ml.training.reports import EpochReport
from core.ml.tuning.plots import draw
from core.ml.tuning.study import ask
from core.services.studies import best_trials, list_trials
from core.services.tuning import resume_study, train_best
from core.settings import Settings
from core.states import JobState, UnitState
from core.store.experiments import list_epochs
from core.store.session import SessionFactory, transaction
from core.store.tables import Job, JobUnit, Study, Trial
from tests.integration.workers.music import Music
from tests.integration.workers.test_training import EPOCH
from tests.support.planned import expire, make_due, read_job, read_unit, reap, skip_preparation
from tests.support.worker import WORKER, open_units, run
from workers import lease as lease_module
from workers import training, tuning

STUDY: dict[str, Any] = {
    "study_name": "mine",
    "experiment": {
        "experiment_name": "mine",
        "dataset": {"kind": "library", "library": "music", "labels_from": "folder"},
        "model": {"kind": "audio_cnn", "embedding_size": 4},
        "training": {"epochs": 4},
    },
    "space": {"training.lr": {"kind": "float", "low": 1e-4, "high": 1e-1, "log": True}},
    "n_trials": 4,
    "max_parallel": 2,
}


class Killed(BaseException):
    """Nothing catches it, as nothing catches a SIGKILL."""


class Trainer:
    """Stands in for the training and its measurement: the value of a trial is its learning rate."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.before_epoch: Callable[[int, float], Any] = lambda epoch, rate: None
        self.loss: Callable[[float], float] = lambda rate: rate

    def train(self, config: Any, dataset: Any, on_epoch: Any, *, should_stop: Any, **_: Any) -> float:
        rate: float = config.training.lr
        self.rates.append(rate)
        for epoch in range(1, 5):
            self.before_epoch(epoch, rate)
            if should_stop():
                raise TrainingStopped
            on_epoch(EpochReport.from_dict(EPOCH | {"epoch": epoch, "validation_loss": self.loss(rate)}))
        return rate

    def measure(self, rate: float, metrics: Any) -> tuple[float, ...]:
        return (rate, 1 / rate)[: len(metrics)]


@pytest.fixture
def trainer(process_settings: Settings, music: Music, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    stand_in = Trainer()
    for name, value in {
        "get_settings": lambda: process_settings,
        "train": stand_in.train,
        "measure": stand_in.measure,
        "load_known_dataset": lambda *_: None,
    }.items():
        monkeypatch.setattr(tuning, name, value)
    monkeypatch.setattr("core.ml.tuning.plots.draw", lambda *_: {})
    monkeypatch.setattr(training, "WRITE_EVERY_S", 0.0)
    monkeypatch.setattr(lease_module, "POLL_EVERY_S", 0.02)
    music.add("rock/a.mp3")
    return stand_in


BODIES = {"trial": tuning.run_trial, "study": tuning.conclude_study}


class Studies:
    """Submits studies and looks at what becomes of them."""

    def __init__(self, sessions: SessionFactory, settings: Settings) -> None:
        self.sessions, self.settings = sessions, settings

    def submit(self, **changes: Any) -> UUID:
        with transaction(self.sessions) as session:
            job_id = submit_job(session, TuningParams(study=STUDY | changes), self.context()).job.id
        skip_preparation(self.sessions, job_id)
        return job_id

    def context(self, key: str | None = None) -> SubmissionContext:
        return SubmissionContext("me", key, data_dir=self.settings.data_dir)

    def resume(self, study_id: UUID, n_trials: int, key: str | None = None) -> UUID:
        with transaction(self.sessions) as session:
            job_id = resume_study(session, study_id, n_trials, self.context(key)).job.id
        skip_preparation(self.sessions, job_id)
        return job_id

    def next_unit(self, job_id: UUID) -> JobUnit:
        unit = open_units(self.sessions, job_id)[0]
        make_due(self.sessions, unit.id)
        return unit

    def step(self, job_id: UUID) -> int:
        unit = self.next_unit(job_id)
        run(self.sessions, unit.id, BODIES[unit.kind])
        return unit.id

    def work_off(self, job_id: UUID) -> Job:
        while open_units(self.sessions, job_id):
            self.step(job_id)
        return read_job(self.sessions, job_id)

    def trials(self, study_id: UUID) -> list[Trial]:
        with self.sessions() as session:
            return list_trials(session, study_id)

    def states(self, study_id: UUID) -> Counter[str]:
        return Counter(trial.state for trial in self.trials(study_id))

    def curve(self, trial: Trial) -> list[int]:
        """The epochs that are written of a trial."""
        with self.sessions() as session:
            return [each.epoch for each in list_epochs(session, [trial.id])[trial.id]]

    def end_and_reap(self, unit_id: int) -> None:
        expire(self.sessions, unit_id)
        reap(self.sessions)


@pytest.fixture
def mine(music: Music, process_settings: Settings, trainer: Trainer) -> Studies:
    return Studies(music.sessions, process_settings)


def test_a_study_ends_with_its_trials_its_best_one_and_pictures(mine, trainer, process_settings, monkeypatch):
    monkeypatch.setattr("core.ml.tuning.plots.draw", draw)
    study_id = mine.submit(n_trials=6)
    assert len(open_units(mine.sessions, study_id)) == 2
    job = mine.work_off(study_id)
    best_number = trainer.rates.index(max(trainer.rates))
    answer = {"study_id": str(study_id), "best": [best_number]}
    assert (job.state, job.total, job.result) == (JobState.SUCCEEDED, 6, answer)
    assert mine.states(study_id) == {"complete": 6}
    trials = mine.trials(study_id)
    assert [trial.number for trial in trials] == list(range(6))
    assert [trial.values for trial in trials] == [[rate] for rate in trainer.rates]
    assert mine.curve(trials[0]) == [1, 2, 3, 4]
    with mine.sessions() as session:
        study = session.get_one(Study, study_id)
        best = best_trials(TuningConfig.model_validate(study.config), trials)
        assert study.importances == {"roc_auc_macro": {"training.lr": 1.0}}
    assert [trial.values for trial in best] == [[max(trainer.rates)]]
    pictures = {path.name for path in (process_settings.studies_dir / str(study_id)).iterdir()}
    assert pictures == {"history.png", "importances.png", "parallel_coordinates.png", "slice.png"}


def test_never_more_trials_are_open_than_may_run_at_a_time(mine):
    study_id = mine.submit(max_parallel=3, n_trials=5)
    seen = []
    while units := open_units(mine.sessions, study_id):
        seen.append(len(units))
        mine.step(study_id)
    assert seen == [3, 3, 3, 2, 1, 1]


def test_a_killed_trial_goes_on_with_the_same_parameters(mine, trainer):
    study_id = mine.submit()

    def die(epoch: int, _: float) -> None:
        if epoch == 3 and len(trainer.rates) == 1:
            raise Killed

    trainer.before_epoch = die
    unit = mine.next_unit(study_id)
    with pytest.raises(Killed):
        run(mine.sessions, unit.id, tuning.run_trial)
    mine.end_and_reap(unit.id)
    assert mine.work_off(study_id).state == JobState.SUCCEEDED
    assert trainer.rates[0] == trainer.rates[1]
    assert len(set(trainer.rates)) == 4
    assert mine.states(study_id) == {"complete": 4}


def test_a_death_between_asking_and_writing_leaves_nothing_behind(mine, trainer, monkeypatch):
    study_id = mine.submit()

    def die(*_: object) -> None:
        raise Killed

    unit = mine.next_unit(study_id)
    with monkeypatch.context() as patch:
        patch.setattr(tuning, "start_trial", die)
        with pytest.raises(Killed):
            run(mine.sessions, unit.id, tuning.run_trial)
    assert mine.states(study_id) == {"waiting": 2}
    mine.end_and_reap(unit.id)
    mine.work_off(study_id)
    assert mine.states(study_id) == {"complete": 4}
    assert len(set(trainer.rates)) == 4


@pytest.mark.parametrize("written", [False, True])
def test_a_death_at_the_end_of_a_trial_ends_it_once(mine, trainer, monkeypatch, written):
    """Before its end is written it is trained again, with the same parameters; afterwards it is not."""
    study_id = mine.submit()
    unit = mine.next_unit(study_id)
    die_at_the_end(mine, unit.id, monkeypatch, written=written)
    assert mine.states(study_id)["complete"] == written
    mine.end_and_reap(unit.id)
    mine.work_off(study_id)
    assert mine.states(study_id) == {"complete": 4}
    assert len(trainer.rates) == (4 if written else 5)
    values = [[rate] for rate in dict.fromkeys(trainer.rates)]
    assert [trial.values for trial in mine.trials(study_id)] == values


def die_at_the_end(mine: Studies, unit_id: int, monkeypatch: pytest.MonkeyPatch, *, written: bool) -> None:
    """Just before or just after the end of the trial is committed."""

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("workers.tuning.shutil.rmtree" if written else "workers.tuning.end_trial", die)
        with pytest.raises(Killed):
            run(mine.sessions, unit_id, tuning.run_trial)


@pytest.mark.parametrize("written", [False, True])
def test_a_trial_that_is_given_up_keeps_the_end_that_was_written(mine, trainer, monkeypatch, written):
    study_id = mine.submit()
    unit = mine.next_unit(study_id)
    die_at_the_end(mine, unit.id, monkeypatch, written=written)
    with transaction(mine.sessions) as session:
        session.get_one(JobUnit, unit.id).crash_count = MAX_CRASHES - 1
    mine.end_and_reap(unit.id)
    first = mine.trials(study_id)[0]
    expected = ("complete", [trainer.rates[0]]) if written else ("failed", None)
    assert (first.state, first.values) == expected
    assert mine.work_off(study_id).state == JobState.SUCCEEDED
    assert mine.states(study_id)["complete"] == 3 + written


@pytest.mark.parametrize("written", [False, True])
def test_a_cancelled_job_keeps_the_end_that_was_written(mine, trainer, monkeypatch, written):
    study_id = mine.submit()
    unit = mine.next_unit(study_id)
    die_at_the_end(mine, unit.id, monkeypatch, written=written)
    with transaction(mine.sessions) as session:
        cancel_job(session, study_id)
    mine.end_and_reap(unit.id)
    with transaction(mine.sessions) as session:
        cancel_waiting(session)
        finish_complete_jobs(session)
    assert read_job(mine.sessions, study_id).state == JobState.CANCELLED
    trials = mine.trials(study_id)
    assert {trial.state for trial in trials[1:]} == {"cancelled"}
    expected = ("complete", [trainer.rates[0]]) if written else ("cancelled", None)
    assert (trials[0].state, trials[0].values) == expected


def test_no_transaction_is_open_while_optuna_is_asked(mine, monkeypatch):
    open_transactions: list[int] = []
    busy = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND (state LIKE 'idle in transaction%' OR wait_event_type = 'Lock')"
    )

    def watched(work: Callable[..., Any]) -> Callable[..., Any]:
        def watch(*arguments: Any, **named: Any) -> Any:
            with mine.sessions() as session:
                open_transactions.append(session.scalars(busy).one())
            return work(*arguments, **named)

        return watch

    monkeypatch.setattr(lease_module, "POLL_EVERY_S", 60.0)  # its own look is a short transaction
    pruner = {"kind": "median", "startup": 1, "warm_up": 1}
    for name in ("ask", "should_prune"):
        monkeypatch.setattr(tuning, name, watched(getattr(tuning, name)))
    study_id = mine.submit(n_trials=2, pruner=pruner)
    assert mine.work_off(study_id).state == JobState.SUCCEEDED
    assert open_transactions == [0] * len(open_transactions)
    assert len(open_transactions) > 2 + 4


def test_trials_that_start_at_once_ask_one_after_the_other(mine, monkeypatch):
    """However long sampling takes, nobody waits for a row meanwhile and no two trials are the same."""
    asking_now: list[int] = []
    most: list[int] = []

    def ask_slowly(*arguments: Any) -> Any:
        asking_now.append(1)
        most.append(len(asking_now))
        time.sleep(0.1)
        try:
            return ask(*arguments)
        finally:
            asking_now.pop()

    monkeypatch.setattr(tuning, "ask", ask_slowly)
    study_id = mine.submit(n_trials=4, max_parallel=4)
    units = [unit.id for unit in open_units(mine.sessions, study_id)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda unit_id: run(mine.sessions, unit_id, tuning.run_trial), units))
    assert most == [1] * 4
    assert mine.states(study_id) == {"complete": 4}
    assert len({str(trial.params) for trial in mine.trials(study_id)}) == 4
    assert mine.work_off(study_id).state == JobState.SUCCEEDED


def test_parameters_of_a_sampler_that_did_not_know_another_trial_are_not_used(mine, monkeypatch):
    """As when the connection that holds the lock breaks while Optuna is asked."""
    study_id = mine.submit(sampler={"kind": "grid", "points": 4})
    units = open_units(mine.sessions, study_id)
    known: list[int] = []

    def ask_late(config: Any, name: str, number: int, records: Any) -> Any:
        known.append(sum(bool(record.params) for record in records))
        params = ask(config, name, number, records)
        if len(known) == 1:
            with monkeypatch.context() as patch:
                patch.setattr(tuning, "asking_alone", lambda *_: nullcontext())
                run(mine.sessions, units[1].id, tuning.run_trial)
        return params

    monkeypatch.setattr(tuning, "ask", ask_late)
    run(mine.sessions, units[0].id, tuning.run_trial)
    assert known == [0, 0, 1]
    assert mine.work_off(study_id).state == JobState.SUCCEEDED
    assert len({str(trial.params) for trial in mine.trials(study_id)}) == 4


def test_who_has_lost_the_lease_ends_nothing(mine, trainer):
    """The trial was given up while its late worker trained on."""
    study_id = mine.submit(n_trials=1)

    def lose(epoch: int, _: float) -> None:
        if epoch == 4:
            mine.end_and_reap(open_units(mine.sessions, study_id)[0].id)

    trainer.before_epoch = lose
    mine.step(study_id)
    assert mine.states(study_id) == {"running": 1}


def test_a_failed_trial_fails_no_study(mine, trainer):
    def diverge(epoch: int, rate: float) -> None:
        if rate == trainer.rates[0]:
            raise TrainingDiverged

    trainer.before_epoch = diverge
    study_id = mine.submit()
    job = mine.work_off(study_id)
    assert (job.state, job.error_code) == (JobState.SUCCEEDED, None)
    assert mine.states(study_id) == {"failed": 1, "complete": 3}
    failed = mine.trials(study_id)[0]
    assert failed.error_code == "training_diverged"
    with mine.sessions() as session:
        counts = session.execute(select(JobUnit.done, JobUnit.failed).where(JobUnit.kind == "trial")).all()
    assert sorted(map(tuple, counts)) == [(0, 1), (1, 0), (1, 0), (1, 0)]


def test_a_study_without_a_usable_trial_fails_for_the_first_ones_reason(mine, trainer):
    def diverge(*_: object) -> None:
        raise TrainingDiverged("The loss is nan.")

    trainer.before_epoch = diverge
    job = mine.work_off(mine.submit())
    assert (job.state, job.error_code) == (JobState.FAILED, "training_diverged")
    assert job.error_detail == "Every trial failed; the first one: The loss is nan."


@pytest.mark.parametrize("way", ["crashes", "errors"])
def test_a_trial_that_is_given_up_fails_and_the_study_goes_on(mine, trainer, way):
    study_id = mine.submit()
    unit = mine.next_unit(study_id)
    error: type[BaseException] = Killed if way == "crashes" else RuntimeError

    def fail(*_: object) -> None:
        raise error

    trainer.before_epoch = fail
    for _ in range(MAX_CRASHES if way == "crashes" else MAX_ATTEMPTS):
        make_due(mine.sessions, unit.id)
        if way == "crashes":
            with pytest.raises(Killed):
                run(mine.sessions, unit.id, tuning.run_trial)
            mine.end_and_reap(unit.id)
        else:
            run(mine.sessions, unit.id, tuning.run_trial)
    trial = mine.trials(study_id)[0]
    assert (trial.state, read_unit(mine.sessions, unit.id).state) == ("failed", UnitState.DONE)
    assert trial.error_code == ("gave_up" if way == "crashes" else "internal")
    assert len(set(trainer.rates)) == 1
    trainer.before_epoch = lambda *_: None
    assert mine.work_off(study_id).state == JobState.SUCCEEDED


def test_a_study_whose_configuration_is_refused_by_now_ends(mine, trainer):
    study_id = mine.submit()
    unit = mine.next_unit(study_id)
    with transaction(mine.sessions) as session:
        session.get_one(Study, study_id).config = {"n_trials": "many"}
    for _ in range(MAX_ATTEMPTS):
        make_due(mine.sessions, unit.id)
        run(mine.sessions, unit.id, tuning.run_trial)
    assert mine.trials(study_id)[0].state == "failed"
    assert read_unit(mine.sessions, unit.id).state == UnitState.DONE


def test_cancelling_stops_running_trials_and_keeps_the_finished_ones(mine, trainer):
    study_id = mine.submit()
    mine.step(study_id)

    def cancel(epoch: int, _: float) -> None:
        if epoch == 2:
            with transaction(mine.sessions) as session:
                cancel_job(session, study_id)
                cancel_waiting(session)
            time.sleep(0.3)

    trainer.before_epoch = cancel
    mine.step(study_id)
    with transaction(mine.sessions) as session:
        finish_complete_jobs(session)
    assert read_job(mine.sessions, study_id).state == JobState.CANCELLED
    assert mine.states(study_id) == {"complete": 1, "cancelled": 2}
    assert mine.curve(mine.trials(study_id)[1]) == [1]


def test_a_worker_that_died_at_a_cancelled_study_leaves_nothing_open(mine, trainer):
    def die(*_: object) -> None:
        raise Killed

    trainer.before_epoch = die
    study_id = mine.submit()
    unit = mine.next_unit(study_id)
    with pytest.raises(Killed):
        run(mine.sessions, unit.id, tuning.run_trial)
    with transaction(mine.sessions) as session:
        cancel_job(session, study_id)
    mine.end_and_reap(unit.id)
    with transaction(mine.sessions) as session:
        cancel_waiting(session)
        finish_complete_jobs(session)
    assert read_job(mine.sessions, study_id).state == JobState.CANCELLED
    assert mine.states(study_id) == {"cancelled": 2}


def test_a_draining_worker_hands_its_trial_back(mine, trainer):
    def drain(epoch: int, _: float) -> None:
        if epoch == 2 and len(trainer.rates) == 1:
            with transaction(mine.sessions) as session:
                record_heartbeat(session, WORKER, ["trial"], 1, draining=True)
            time.sleep(0.3)

    trainer.before_epoch = drain
    study_id = mine.submit()
    unit_id = mine.step(study_id)
    unit = read_unit(mine.sessions, unit_id)
    assert (unit.state, unit.attempt) == (UnitState.READY, 0)
    assert mine.states(study_id) == {"running": 1, "waiting": 1}


def test_a_late_worker_writes_nothing(mine, trainer):
    """Its lease ran out, another one has ended the trial."""
    study_id = mine.submit(n_trials=1)

    def overtake(epoch: int, _: float) -> None:
        if epoch == 1 and len(trainer.rates) == 1:
            unit = open_units(mine.sessions, study_id)[0]
            mine.end_and_reap(unit.id)
            trainer.before_epoch = lambda *_: None
            mine.step(study_id)

    trainer.before_epoch = overtake
    mine.step(study_id)
    mine.work_off(study_id)
    assert mine.states(study_id) == {"complete": 1}


def test_worse_trials_are_pruned_and_cost_less(mine, trainer):
    pruner = {"kind": "median", "startup": 2, "warm_up": 0}
    study_id = mine.submit(n_trials=10, pruner=pruner)
    mine.work_off(study_id)
    states = mine.states(study_id)
    assert states["pruned"] >= 2
    for trial in mine.trials(study_id):
        assert (trial.values is None, len(mine.curve(trial)) < 4) == (trial.state == "pruned",) * 2
        assert (trial.error_detail or "").startswith("Ended after epoch") is (trial.state == "pruned")


def test_no_trial_starts_after_the_target_or_the_time(mine):
    for limit in ({"target": 1e-4}, {"time_budget_s": 0.001}):
        study_id = mine.submit(n_trials=50, max_parallel=20, **limit)
        assert mine.states(study_id) == {"waiting": 20}
        job = mine.work_off(study_id)
        assert (job.state, job.total) == (JobState.SUCCEEDED, 1)
        assert mine.states(study_id) == {"complete": 1, "cancelled": 19}
        with mine.sessions() as session:
            assert get_progress(session, [job])[study_id].percent == 100


def test_a_grid_tries_every_point_once(mine, trainer):
    study_id = mine.submit(n_trials=50, sampler={"kind": "grid", "points": 5})
    job = mine.work_off(study_id)
    assert (job.total, job.state) == (5, JobState.SUCCEEDED)
    assert sorted(trainer.rates) == pytest.approx([1e-4, 10**-3.25, 10**-2.5, 10**-1.75, 1e-1])
    with pytest.raises(GridExhausted):
        mine.resume(study_id, 1)


def test_a_cancelled_grid_is_resumed_with_the_points_that_are_left(mine, trainer):
    """One complete, one failed, one cancelled while it ran, one while it waited, and one never added."""
    study_id = mine.submit(n_trials=5, sampler={"kind": "grid", "points": 5})

    def fail_then_cancel(epoch: int, _: float) -> None:
        if len(trainer.rates) == 2:
            raise TrainingDiverged
        if len(trainer.rates) == 3 and epoch == 2:
            with transaction(mine.sessions) as session:
                cancel_job(session, study_id)
                cancel_waiting(session)
            time.sleep(0.3)

    trainer.before_epoch = fail_then_cancel
    for _ in range(3):
        mine.step(study_id)
    with transaction(mine.sessions) as session:
        finish_complete_jobs(session)
    assert mine.states(study_id) == {"complete": 1, "failed": 1, "cancelled": 2}
    resumed = mine.resume(study_id, 50, "again")
    assert mine.work_off(resumed).total == 3
    assert mine.states(study_id) == {"complete": 4, "failed": 1, "cancelled": 2}
    tried = [trial.params["training.lr"] for trial in mine.trials(study_id) if trial.state != "cancelled"]
    assert sorted(tried) == pytest.approx([1e-4, 10**-3.25, 10**-2.5, 10**-1.75, 1e-1])
    assert mine.resume(study_id, 50, "again") == resumed
    with pytest.raises(GridExhausted):
        mine.resume(study_id, 50)


def test_the_answer_is_written_before_the_pictures_are_drawn(mine, monkeypatch):
    def die(*_: object) -> None:
        raise Killed

    study_id = mine.submit()
    monkeypatch.setattr("core.ml.tuning.plots.draw", die)
    with pytest.raises(Killed):
        mine.work_off(study_id)
    result = read_job(mine.sessions, study_id).result
    assert result is not None
    assert result["study_id"] == str(study_id)
    unit = open_units(mine.sessions, study_id)[0]
    mine.end_and_reap(unit.id)
    monkeypatch.setattr("core.ml.tuning.plots.draw", lambda *_: {})
    assert mine.work_off(study_id).state == JobState.SUCCEEDED


def test_several_objectives_give_a_front(mine, trainer):
    study_id = mine.submit(objectives=[{"metric": "roc_auc_macro"}, {"metric": "pr_auc_macro"}])
    assert mine.work_off(study_id).state == JobState.SUCCEEDED
    with mine.sessions() as session:
        config = TuningConfig.model_validate(session.get_one(Study, study_id).config)
    assert len(best_trials(config, mine.trials(study_id))) == 4  # more of the one is less of the other


def test_a_study_is_resumed_with_more_trials(mine, trainer):
    study_id = mine.submit()
    with pytest.raises(StudyAtWork):
        mine.resume(study_id, 3)
    mine.work_off(study_id)
    job = mine.work_off(mine.resume(study_id, 3))
    answer = {"study_id": str(study_id), "best": [trainer.rates.index(max(trainer.rates))]}
    assert (job.state, job.total, job.result) == (JobState.SUCCEEDED, 3, answer)
    assert mine.states(study_id) == {"complete": 7}
    assert len(set(trainer.rates)) == 7


def test_the_best_is_trained_as_a_job_of_its_own(mine, trainer):
    study_id = mine.submit(trial_epochs=2)
    mine.work_off(study_id)
    with transaction(mine.sessions) as session:
        job = train_best(session, study_id, mine.context()).job
    experiment = job.params["experiment"]
    assert experiment["training"]["lr"] == max(trainer.rates)
    assert experiment["training"]["epochs"] == 4
    assert experiment["evaluation"]["bootstrap"] == 1000
