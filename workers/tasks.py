"""The Celery tasks, one per kind of unit, and the one that carries liveness probes.

Bodies are named, not imported: the pool's parent process never loads torch.
"""

from celery import Task

from core.jobs.kinds import UnitSpec, unit_specs
from core.jobs.queue import task_name
from workers import liveness
from workers.app import app
from workers.runner import run_unit


def _add_task(spec: UnitSpec) -> None:
    @app.task(
        name=task_name(spec.name),
        bind=True,
        time_limit=spec.time_limit_s,
        Strategy="workers.messages:strategy",
    )
    def run(task: Task, unit_id: int) -> None:
        run_unit(spec, unit_id, task_id=task.request.id, worker=task.request.hostname)


for each in unit_specs():
    _add_task(each)


@app.task(name=liveness.TASK, Strategy="workers.liveness:strategy")
def probe() -> None:
    """Never run: the consumer answers its messages itself."""
