"""Every Celery task. Each imports its body when it runs: the pool's parent process never loads torch."""

from celery import Task

from core.queue import TRAIN_TIME_LIMIT_S
from workers.app import app
from workers.runner import run_unit


@app.task(name="mfa.plan", bind=True)
def plan(task: Task, unit_id: int) -> None:
    from workers.planning import plan_library

    run_unit(task.request, unit_id, plan_library)


@app.task(name="mfa.analyse", bind=True)
def analyse(task: Task, unit_id: int) -> None:
    from workers.analysis import analyse_tracks

    run_unit(task.request, unit_id, analyse_tracks)


@app.task(name="mfa.predict", bind=True)
def predict(task: Task, unit_id: int) -> None:
    from workers.analysis import analyse_upload

    run_unit(task.request, unit_id, analyse_upload)


@app.task(name="mfa.train", bind=True, time_limit=TRAIN_TIME_LIMIT_S)
def train(task: Task, unit_id: int) -> None:
    from workers.training import train_model

    run_unit(task.request, unit_id, train_model)
