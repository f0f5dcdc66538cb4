"""Fits a random forest with scikit-learn and stores it as tensors."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from core.config.models import RandomForestConfig
from core.ml.models.random_forest import RandomForest, pool_over_time
from core.ml.training.context import Stage, Tracks, TrainingContext
from core.ml.training.losses import class_weights
from core.ml.training.reports import EpochReport
from core.states import Activity

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

TREES_PER_CALL = 25


def grow_forest(
    model: RandomForest, config: RandomForestConfig, tracks: Tracks, stage: Stage, context: TrainingContext
) -> tuple[RandomForest, list[EpochReport]]:
    """The forest fitted on the training tracks, and one report without a loss."""
    from sklearn.ensemble import RandomForestClassifier  # half a second that other trainings need not wait

    began = time.perf_counter()
    pooled, owners = pool_tracks(tracks, stage.train, config)
    read_s = time.perf_counter() - began
    forest = RandomForestClassifier(
        n_estimators=0,
        warm_start=True,  # a few trees at a time, identical to those of a single call
        max_leaf_nodes=config.max_leaves,
        min_samples_leaf=config.min_leaf_patches,
        class_weight=_class_weights(tracks.targets[stage.train], context.config.training.max_class_weight),
        random_state=stage.seed(context.config.seed),
        n_jobs=-1,
    )
    patches, targets = pooled.numpy(), tracks.targets[owners].numpy()
    if targets.shape[1] == 1:
        targets = targets[:, 0]  # as scikit-learn expects a single output
    for grown in range(0, config.trees, TREES_PER_CALL):
        context.note(Activity.TRAINING, grown, config.trees)
        forest.set_params(n_estimators=min(grown + TREES_PER_CALL, config.trees))
        forest.fit(patches, targets)
    copy_trees(forest, model)
    report = EpochReport(
        epoch=1,
        epochs=1,
        fold=stage.fold,
        folds=stage.folds,
        train_loss=None,
        validation_loss=None,
        validation={},
        learning_rate=0.0,
        steps=config.trees,
        duration_s=time.perf_counter() - began,
        data_wait_s=read_s,
        validation_s=0.0,
        is_best=True,
    )
    context.on_epoch(report)
    return model, [report]


def _class_weights(targets: Tensor, most: float) -> list[dict[int, float]] | dict[int, float] | None:
    """For each label the weights of the classes 0 and 1 that occur among the targets (M, L).

    Of a single label without a list, as scikit-learn expects a single output.
    """
    if most == 1:
        return None
    weights = class_weights(targets, most).tolist()
    occurring = [sorted(set(column)) for column in targets.T.int().tolist()]
    by_label = [
        {value: weight if value else 1.0 for value in values}
        for values, weight in zip(occurring, weights, strict=True)
    ]
    return by_label if len(by_label) > 1 else by_label[0]


def pool_tracks(tracks: Tracks, rows: Sequence[int], config: RandomForestConfig) -> tuple[Tensor, list[int]]:
    """Pooled features of some patches of each track (P, D), and the row that each belongs to."""
    pooled = [
        pool_over_time(tracks.inputs.whole(row, config.patches_per_track), config.bands) for row in rows
    ]
    owners = [row for row, found in zip(rows, pooled, strict=True) for _ in range(len(found))]
    return torch.cat(pooled), owners


def copy_trees(forest: "RandomForestClassifier", model: RandomForest) -> None:
    """Write the decision trees of a fitted forest into the model's tensors."""
    # Per label the index of its positive class; None for a label without tracks.
    by_label = [forest.classes_] if forest.n_outputs_ == 1 else forest.classes_
    positive = [int(np.flatnonzero(classes)[0]) if classes.any() else None for classes in by_label]
    for number, estimator in enumerate(forest.estimators_):
        tree = estimator.tree_
        nodes = np.arange(tree.node_count)
        is_leaf = tree.children_left < 0
        model.feature[number, nodes] = torch.from_numpy(np.where(is_leaf, 0, tree.feature).astype(np.int32))
        model.threshold[number, nodes] = torch.from_numpy(np.where(is_leaf, 0.0, tree.threshold))
        for side, children in enumerate((tree.children_left, tree.children_right)):
            model.child[side, number, nodes] = torch.from_numpy(
                np.where(is_leaf, nodes, children).astype(np.int32)
            )
        shares = tree.value / tree.value.sum(-1, keepdims=True)  # (nodes, labels, classes)
        share = np.zeros(shares.shape[:2])
        for label, index in enumerate(positive):
            if index is not None:
                share[:, label] = shares[:, label, index]
        model.value[number, nodes] = torch.from_numpy(share.astype(np.float32))
