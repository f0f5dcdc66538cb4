"""Every Celery task. Bodies are named, not imported: the pool's parent process never loads torch."""

from celery import Task

from core.queue import TRAIN_TIME_LIMIT_S
from workers import canary as canaries
from workers.app import app
from workers.runner import run_unit


@app.task(name="mfa.plan", bind=True)
def plan(task: Task, unit_id: int) -> None:
    run_unit(task.request, unit_id, "workers.planning:plan_library")


@app.task(name="mfa.analyse", bind=True)
def analyse(task: Task, unit_id: int) -> None:
    run_unit(task.request, unit_id, "workers.analysis:analyse_tracks")


@app.task(name="mfa.predict", bind=True)
def predict(task: Task, unit_id: int) -> None:
    run_unit(task.request, unit_id, "workers.analysis:analyse_upload")


@app.task(name="mfa.train", bind=True, time_limit=TRAIN_TIME_LIMIT_S)
def train(task: Task, unit_id: int) -> None:
    run_unit(task.request, unit_id, "workers.training:train_model")


@app.task(name="mfa.trial", bind=True, time_limit=TRAIN_TIME_LIMIT_S)
def trial(task: Task, unit_id: int) -> None:
    run_unit(task.request, unit_id, "workers.tuning:run_trial")


@app.task(name="mfa.study", bind=True)
def study(task: Task, unit_id: int) -> None:
    run_unit(task.request, unit_id, "workers.tuning:conclude_study")


@app.task(name="mfa.thresholds", bind=True)
def thresholds(task: Task, unit_id: int) -> None:
    run_unit(task.request, unit_id, "workers.thresholds:tune_thresholds")


@app.task(name=canaries.TASK, Strategy="workers.canary:strategy")
def canary() -> None:
    """Never run: that its message comes back is all it is for."""
