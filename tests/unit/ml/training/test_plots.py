import numpy as np
import pytest

from core.ml.training import plots
from core.ml.training.reports import EpochReport


@pytest.mark.parametrize("label", ["$_$", r"R$\B$", r"$\frac$", "A$AP $ound_", r"\$_$", "音楽"])
def test_a_label_that_looks_like_a_formula_or_has_no_glyph_is_drawn(label):
    picture = plots.co_occurrence(np.eye(2, dtype=np.int64), [label, "other"])
    assert picture.startswith(b"\x89PNG")


def report(fold: int | None, validation: dict[str, float]) -> EpochReport:
    return EpochReport(1, 1, fold, 2 if fold else None, 0.5, None, validation, 0.1, 1, 1.0, 0.1, 0.1, False)


@pytest.mark.parametrize(
    ("history", "panels"),
    [
        ([report(None, {"f1_macro": 0.5})], 2),
        ([report(1, {}), report(2, {}), report(None, {})], 1),  # folds have no validation tracks
    ],
)
def test_curves_have_no_empty_panel(history, panels):
    width = int.from_bytes(plots.training_curves(history)[16:20])
    assert width == panels * int.from_bytes(plots.training_curves([])[16:20])
