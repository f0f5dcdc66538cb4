"""Start of a Celery worker: `celery -A workers.app worker -Q plan,batch`.

It has one task per kind of unit, and one that carries liveness probes. The children of its pool are forked,
so this process must never import torch: a child that inherits it cannot use CUDA and may hang in BLAS.
"""

import os
from typing import Any

from celery import Task, signals

from core.jobs.kinds import UnitSpec, unit_specs
from core.jobs.queue import make_celery, task_name
from core.logs import configure_logging
from core.services.kinds import register_kinds
from core.settings import get_settings
from workers import heartbeat, liveness, recycling  # noqa: F401 (they connect to Celery's signals)
from workers.runner import run_unit

CHILD_NICENESS = 5

register_kinds()
app = make_celery(get_settings())
app.set_default()


@signals.setup_logging.connect
def _setup_logging(**_: Any) -> None:
    """In the parent and in each child; being connected keeps Celery from setting up its own."""
    configure_logging(get_settings(), force=True)


@signals.worker_process_init.connect
def _lower_priority(**_: Any) -> None:
    """The gateway stays responsive while every core is busy."""
    os.nice(CHILD_NICENESS)


def _add_task(spec: UnitSpec) -> None:
    """The body is named, not imported: the pool's parent process never loads torch."""

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
