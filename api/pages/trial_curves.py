"""The curves of a trial: its losses by epoch, and what the validation tracks say."""

from collections.abc import Mapping, Sequence

from api import schemas
from api.pages.plots import Frame, Marks, Plot, line, numbers, spans_decades, ticks_across, ticks_up
from api.pages.study_plots import title_of

MOST_POINTS = 300  # of a line
CURVE = Frame(600, 220)
SHOWN = ("f1_macro", "roc_auc_macro", "pr_auc_macro", "accuracy")


def curves(points: Sequence[schemas.TrialPoint]) -> list[Plot]:
    """Of the last fit: the only one, or the fold in progress."""
    if not points:
        return []
    of_fold = [point for point in points if point.fold == points[-1].fold]
    shown = of_fold[:: -(-len(of_fold) // MOST_POINTS)]
    losses = {
        "training": [(each.epoch, each.train_loss) for each in shown],
        "validation": [(each.epoch, each.validation_loss) for each in shown],
    }
    measures = {title_of(name): [(each.epoch, each.validation.get(name)) for each in shown] for name in SHOWN}
    found = (_curve("Loss", losses), _curve("On validation tracks", measures))
    return [plot for plot in found if plot is not None]


def _curve(title: str, series: Mapping[str, Sequence[tuple[int, float | None]]]) -> Plot | None:
    known = {
        name: [(epoch, value) for epoch, value in points if value is not None]
        for name, points in series.items()
    }
    drawn = {name: points for name, points in known.items() if points}
    if not drawn:
        return None
    values = [value for points in drawn.values() for _, value in points]
    x_axis = numbers([epoch for points in drawn.values() for epoch, _ in points])
    y_axis = numbers(values, log=spans_decades(values))
    marks = [
        Marks(
            f"line-{number}",
            line(
                [
                    (CURVE.across(x_axis.place(epoch)), CURVE.up(y_axis.place(value)))
                    for epoch, value in points
                ]
            ),
        )
        for number, points in enumerate(drawn.values(), 1)
    ]
    legend = [
        (f"line-{number}", f"{name} {points[-1][1]:.4g}")
        for number, (name, points) in enumerate(drawn.items(), 1)
    ]
    return Plot(
        title,
        "",
        "epoch",
        "logarithmic" if y_axis.log else "",
        CURVE,
        ticks_across(x_axis, CURVE),
        ticks_up(y_axis, CURVE),
        marks,
        legend,
    )
