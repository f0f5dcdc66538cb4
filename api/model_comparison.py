"""Compared models as response shapes; every list is in the order of the models."""

from collections.abc import Mapping, Sequence
from typing import Any

from api import schemas, views
from core.output.measures import scores_of
from core.spelling import name_key
from core.store.model_comparison import ComparedModel, obstacles

Rows = Mapping[str, Mapping[str, Any]]  # what was measured of a label, by its key


def side_by_side(compared: Sequence[ComparedModel], aliases: dict[str, int]) -> schemas.ModelComparison:
    spelt: dict[str, str] = {}
    for each in compared:
        for label in each.model.labels:
            spelt.setdefault(name_key(label), label)
    thresholds = [_by_key(each.model.labels, each.model.thresholds) for each in compared]
    measured = [_measured(each) for each in compared]
    named = list(zip((each.model.reference for each in compared), thresholds, strict=True))
    owners = {key: [name for name, own in named if key in own] for key in spelt}
    reasons = obstacles(compared)
    return schemas.ModelComparison(
        models=[_model(each, aliases) for each in compared],
        metrics=_metrics(compared),
        labels=[
            schemas.ComparedLabel(
                label=label,
                thresholds=[own.get(key) for own in thresholds],
                support=[rows.get(key, {}).get("support") for rows in measured],
                pr_auc=[rows.get(key, {}).get("pr_auc") for rows in measured],
                f1=[rows.get(key, {}).get("f1") for rows in measured],
            )
            for key, label in spelt.items()
        ],
        common=[label for key, label in spelt.items() if len(owners[key]) == len(compared)],
        only={name: [label for key, label in spelt.items() if owners[key] == [name]] for name, _ in named},
        comparable=not reasons,
        reasons=reasons,
    )


def _by_key(labels: Sequence[str], thresholds: Sequence[float]) -> dict[str, float]:
    rounded = (round(threshold, views.SCORE_DIGITS) for threshold in thresholds)
    return dict(zip(map(name_key, labels), rounded, strict=True))


def _measured(each: ComparedModel) -> Rows:
    """By key of the label; without what other thresholds were measured with."""
    rows = {name_key(row["label"]): row for row in each.results.get("per_label", ())}
    return rows if each.is_own_run else {key: row | {"f1": None} for key, row in rows.items()}


def _metrics(compared: Sequence[ComparedModel]) -> dict[str, list[schemas.Interval | None]]:
    """By name; the interval of a measure that the model no longer has is not shown."""
    scores = [scores_of(each.model.metrics) for each in compared]
    names = dict.fromkeys(name for own in scores for name in own)
    return {
        name: [_interval(each, own, name) for each, own in zip(compared, scores, strict=True)]
        for name in names
    }


def _interval(each: ComparedModel, scores: Mapping[str, Any], name: str) -> schemas.Interval | None:
    if name not in scores:
        return None
    bounds = each.results.get("intervals", {}).get(name, {})
    return schemas.Interval(value=scores[name], low=bounds.get("low"), high=bounds.get("high"))


def _model(each: ComparedModel, aliases: dict[str, int]) -> schemas.ComparedModel:
    run, results = each.run, each.results
    return schemas.ComparedModel(
        model=each.model.reference,
        kind=each.model.kind,
        aliases=sorted(alias for alias, model_id in aliases.items() if model_id == each.model.id),
        created_at=each.model.created_at,
        labels=len(each.model.labels),
        single_label=each.model.single_label,
        embedding_size=each.model.embedding_size,
        size=each.size,
        run_id=run.id if run else None,
        dataset=run.config.get("dataset") if run else None,
        dataset_sha256=run.dataset_sha256 if run else None,
        tracks=results.get("tracks"),
        evaluated_on=results.get("evaluated_on"),
        folds=results.get("folds"),
        trained_on_corrections=each.trained_on_corrections,
        warnings=results.get("warnings", []),
    )
