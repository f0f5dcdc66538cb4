"""The `runs` command."""

from uuid import UUID

from api import schemas
from api.client import display
from api.client.http import Client

SHOWN_RUNS, SHOWN_EPOCHS = 20, 20
HEADLINES = ("roc_auc_macro", "pr_auc_macro", "f1_macro")


def show_runs(client: Client) -> None:
    display.show_table(
        "",
        ("id", "experiment", "state", "model", *HEADLINES, "submitted"),
        (
            (
                str(run.id),
                run.experiment,
                run.state or "",
                run.model or "",
                *(display.number_of((run.metrics or {}).get(name)) for name in HEADLINES),
                display.date_of(run.created_at),
            )
            for run in client.list_runs(SHOWN_RUNS)
        ),
    )


def show_run(client: Client, run_id: UUID) -> None:
    run = client.get_run(run_id)
    display.say(f"{run.experiment}: {run.state or 'its job is gone'}", "bold")
    if run.model is not None:
        took = "" if run.duration_s is None else f", trained in {display.duration_of(run.duration_s)}"
        display.say(f"model {run.model}{took}, seed {run.seed}")
    if run.metrics:
        display.show_table(
            "",
            ("measure", "value"),
            ((name, display.number_of(value)) for name, value in run.metrics.items()),
        )
    show_epochs(run)
    for name in run.artifacts:
        display.say(f"/api/v1/runs/{run.id}/artifacts/{name}")


def delete(client: Client, run_id: UUID) -> None:
    client.delete_run(run_id)
    display.say(f"Run {run_id} is deleted; its model stays.")


def show_epochs(run: schemas.RunDetails) -> None:
    if run.epochs:
        display.show_table(
            f"The last of {len(run.epochs)} epochs",
            ("fold", "epoch", "loss", "validation loss", "learning rate", "seconds"),
            (
                (
                    str(each.fold or ""),
                    str(each.epoch),
                    display.number_of(each.train_loss),
                    display.number_of(each.validation_loss),
                    f"{each.learning_rate:.2g}",
                    f"{each.duration_s:.2f}",
                )
                for each in run.epochs[-SHOWN_EPOCHS:]
            ),
        )
