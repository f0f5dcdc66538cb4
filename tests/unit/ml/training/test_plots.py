import numpy as np
import pytest

from core.ml.training import plots


@pytest.mark.parametrize("label", ["$_$", r"R$\B$", r"$\frac$", "A$AP $ound_", r"\$_$", "音楽"])
def test_a_label_that_looks_like_a_formula_or_has_no_glyph_is_drawn(label):
    picture = plots.co_occurrence(np.eye(2, dtype=np.int64), [label, "other"])
    assert picture.startswith(b"\x89PNG")
