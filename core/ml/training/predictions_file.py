"""What was predicted of each held-out track, as a table for people: `predictions.csv`."""

import csv
import io

import numpy as np

from core.ml.training.fitting import Fitted
from core.ml.training.model_evaluation import ModelEvaluation
from core.ml.training.prepared_dataset import PreparedDataset
from core.output.spreadsheets import guard

PREDICTIONS_FILE = "predictions.csv"
FIXED = ("track", "fold", "truth", "decision")
DIGITS = 6


def make_predictions(prepared: PreparedDataset, fitted: Fitted, evaluation: ModelEvaluation) -> bytes:
    """The content of `PREDICTIONS_FILE`: a row for each track that the metrics are measured on.

    `fold` is that whose model was not trained on the track, empty for the tracks of a test part; `truth` and
    `decision` are labels. Behind them, a column for each label with the score, 0 to 1, by which was decided:
    calibrated, with a rule that was chosen without the track. It is empty where the model of the fold had not
    learnt the label. Texts that a spreadsheet would calculate are marked.
    """
    test = fitted.test
    truth = prepared.tracks.targets.numpy()[test.rows] > 0
    known = test.learnt(truth.astype(np.float64))
    labels = prepared.labels
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*FIXED, *map(guard, labels)])
    rounded = evaluation.scores.round(DIGITS).tolist()
    for place in sorted(range(len(test.rows)), key=lambda place: test.rows[place]):
        named = (
            "; ".join(label for label, has in zip(labels, of[place], strict=True) if has)
            for of in (truth, evaluation.decisions)
        )
        scores = zip(rounded[place], known[place], strict=True)
        writer.writerow(
            [
                guard(prepared.dataset.examples[test.rows[place]].id),
                test.folds[place] or "",
                *map(guard, named),
                *(score if is_known else "" for score, is_known in scores),
            ]
        )
    return text.getvalue().encode()
