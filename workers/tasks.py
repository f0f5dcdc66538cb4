"""Every Celery task. Bodies are named, not imported: the pool's parent process never loads torch."""

from functools import partial

from celery import Task

from core.jobs.queue import TRAIN_TIME_LIMIT_S
from workers import liveness
from workers.app import app
from workers.runner import run_unit

unit_task = partial(app.task, bind=True, Strategy="workers.messages:strategy")


@unit_task(name="mfa.plan")
def plan(task: Task, unit_id: int) -> None:
    run_unit(task.request, unit_id, "workers.planning:plan_library")


@unit_task(name="mfa.analyse")
def analyse(task: Task, unit_id: int) -> None:
    run_unit(task.request, unit_id, "workers.analysis:analyse_tracks")


@unit_task(name="mfa.predict")
def predict(task: Task, unit_id: int) -> None:
    run_unit(task.request, unit_id, "workers.analysis:analyse_upload")


@unit_task(name="mfa.train", time_limit=TRAIN_TIME_LIMIT_S)
def train(task: Task, unit_id: int) -> None:
    run_unit(task.request, unit_id, "workers.training:train_model")


@unit_task(name="mfa.trial", time_limit=TRAIN_TIME_LIMIT_S)
def trial(task: Task, unit_id: int) -> None:
    run_unit(task.request, unit_id, "workers.tuning:run_trial")


@unit_task(name="mfa.study")
def study(task: Task, unit_id: int) -> None:
    run_unit(task.request, unit_id, "workers.tuning:conclude_study")


@unit_task(name="mfa.thresholds")
def thresholds(task: Task, unit_id: int) -> None:
    run_unit(task.request, unit_id, "workers.thresholds:tune_thresholds")


@app.task(name=liveness.TASK, Strategy="workers.liveness:strategy")
def probe() -> None:
    """Never run: the consumer answers its messages itself."""
