"""Line charts keep their ends, whatever they leave out between them."""

from api import schemas
from api.pages.charts import MOST_POINTS, Series, line_chart
from api.pages.run_charts import charts_of, side_by_side


def epoch(fold: int | None, number: int, loss: float) -> schemas.Epoch:
    return schemas.Epoch(
        fold=fold,
        epoch=number,
        train_loss=loss,
        validation_loss=2 * loss,
        validation={"f1_macro": 0.5},
        learning_rate=0.001,
        duration_s=1.0,
        busy_share=1.0,
        is_best=False,
    )


FOLDS = [epoch(fold, number, fold / number) for fold in (1, 2) for number in (1, 2, 3)]


def test_nothing_is_drawn_of_nothing():
    assert line_chart("Loss", [Series("a", [])]) is None
    assert charts_of([]) == []


def test_a_long_line_is_thinned_and_keeps_its_last_value():
    points = [(number, float(number)) for number in range(5 * MOST_POINTS)]
    chart = line_chart("Loss", [Series("a", points)])
    assert chart is not None
    values = chart.lines[0].values.split()
    assert len(values) <= MOST_POINTS
    assert values[0] == "0:0"
    assert values[-1] == "4499:4499"
    assert len(chart.lines[0].points.split()) == len(values)


def test_every_fold_is_drawn_in_its_colour():
    loss, f1, rate = charts_of(FOLDS)
    assert [(line.name, line.colour, line.is_dashed) for line in loss.lines] == [
        ("training, fold 1", 1, False),
        ("training, fold 2", 2, False),
        ("validation, fold 1", 1, True),
        ("validation, fold 2", 2, True),
    ]
    assert [key.text for key in loss.keys] == ["fold 1", "fold 2"]
    assert (f1.title, rate.title) == ("F1, mean over labels, on validation tracks", "Learning rate")


def test_runs_side_by_side_are_the_means_of_their_folds():
    loss = side_by_side({"one": FOLDS, "two": [epoch(None, 1, 0.25)]})[0]
    assert [line.values for line in loss.lines] == ["1:1.5 2:0.75 3:0.5", "1:0.25"]
    assert [key.text for key in loss.keys] == ["one: 0.5", "two: 0.25"]


def test_the_mean_of_folds_ends_where_the_first_of_them_ends():
    """Fold 2 has the higher losses: without it the mean would fall. The fit on all tracks is no fold."""
    epochs = [each for each in FOLDS if (each.fold, each.epoch) != (2, 3)]
    epochs += [epoch(None, number, 0.1) for number in (1, 2)]
    training, validation = side_by_side({"one": epochs})[:2]
    assert [line.values for line in training.lines] == ["1:1.5 2:0.75"]
    assert [line.values for line in validation.lines] == ["1:3 2:1.5"]
