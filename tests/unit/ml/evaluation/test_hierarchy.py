"""A child implies its parents, at every depth."""

import numpy as np

from core.ml.evaluation.hierarchy import ancestors, enforce_hierarchy, leaves, roots

LABELS = ("Rock", "Punk", "Hardcore", "Pop")
PARENTS = {"Punk": "Rock", "Hardcore": "Punk", "Ska": "Reggae"}


def test_a_parent_has_at_least_the_score_of_each_descendant():
    scores = np.array([[0.1, 0.2, 0.9, 0.3], [0.8, 0.5, 0.1, 0.3]])
    assert enforce_hierarchy(scores, LABELS, PARENTS).tolist() == [[0.9, 0.9, 0.9, 0.3], [0.8, 0.5, 0.1, 0.3]]
    assert scores[0, 0] == 0.1
    assert enforce_hierarchy(scores[0], LABELS, PARENTS).tolist() == [0.9, 0.9, 0.9, 0.3]


def test_an_ancestor_is_raised_through_labels_that_are_not_selected():
    assert enforce_hierarchy([0.1, 0.7], ("Rock", "Hardcore"), PARENTS).tolist() == [0.7, 0.7]


def test_roots_and_leaves_are_those_of_the_selected_labels():
    assert roots(LABELS, PARENTS) == ("Rock", "Pop")
    assert leaves(LABELS, PARENTS) == ("Hardcore", "Pop")
    assert roots(("Hardcore", "Ska"), PARENTS) == ("Hardcore", "Ska")


def test_a_loop_in_the_tree_ends():
    assert ancestors("a", {"a": "b", "b": "a"}) == ["b", "a"]
