"""Measures have one name each, and what counts or lasts is none."""

from core.output.measures import scores_of, title_of


def test_only_scores_are_measures_and_each_has_one_name():
    metrics = {"duration_s": 12.9, "macro_pr_auc": 0.4, "f1_macro": 0.5, "measured_labels": 5.0, "tracks": 28}
    assert scores_of(metrics) == {"pr_auc_macro": 0.4, "f1_macro": 0.5}
    assert title_of("pr_auc_macro") == "PR-AUC, mean over labels"
    assert title_of("top_3") == "Top 3"
