"""The model card in Markdown."""

from collections.abc import Mapping
from typing import Any

from core.config.models import is_single_label
from core.ml.models.artifact import ModelCard
from core.output.measures import GROUPS, INTERVALS, TITLES, way_of


def write_card(card: ModelCard, results: Mapping[str, Any]) -> str:
    """Sections: description, metrics, metrics per label, provenance."""
    sections = [_head(card, results), _metrics(results), _groups(results), _labels(results)]
    return "\n".join([line for section in [*sections, _origin(card, results)] for line in section])


def _head(card: ModelCard, results: Mapping[str, Any]) -> list[str]:
    decision = (
        "A track gets exactly one of them, that with the highest score; the scores of a track add up to 1."
        if is_single_label(card.model)
        else "A track gets every label whose score reaches its threshold, or none."
    )
    return [
        f"# {card.name}, version {card.version}",
        "",
        f"A `{card.model.kind}` that gives {len(card.labels)} labels: {', '.join(card.labels)}.",
        decision,
        "",
        "## Metrics",
        "",
        way_of(results["folds"], exclusive=results["single_label"]),
        INTERVALS,
        "",
    ]


def _metrics(results: Mapping[str, Any]) -> list[str]:
    rows = ["| measure | value | 95 % interval |", "|---|---|---|"]
    for name, title in TITLES.items():
        interval = results["intervals"].get(name)
        is_known = interval is not None and interval["low"] is not None
        between = f"{number_of(interval['low'])} to {number_of(interval['high'])}" if is_known else "-"
        rows.append(f"| {title} | {number_of(results['metrics'].get(name))} | {between} |")
    labels, measured = len(results["per_label"]), int(results["metrics"]["measured_labels"])
    rows += ["", f"Means over labels are of the {measured} of {labels} labels that can be measured."]
    rows += [f"- {label} cannot be measured: {reason}." for label, reason in results["unmeasured"].items()]
    return [*rows, ""]


def _groups(results: Mapping[str, Any]) -> list[str]:
    rows = ["| labels | measured | ROC-AUC | PR-AUC | F1 |", "|---|---|---|---|---|"]
    for name, means in results["groups"].items():
        measured = " | ".join(number_of(means[measure]) for measure in ("roc_auc", "pr_auc", "f1"))
        count = f"{means['measured']:.0f} of {means['labels']:.0f}"
        rows.append(f"| {GROUPS[name]} | {count} | {measured} |")
    return ["## Metrics by group of labels", "", *rows, ""]


def _labels(results: Mapping[str, Any]) -> list[str]:
    columns: tuple[str, ...] = ("support", "chance", "roc_auc", "pr_auc", "precision", "recall", "f1")
    if not results["single_label"]:
        columns = (*columns, "threshold")
    rows = ["| label | " + " | ".join(name.replace("_", " ") for name in columns) + " |"]
    rows.append("|---" * (len(columns) + 1) + "|")
    for one in results["per_label"]:
        rows.append(f"| {one['label']} | " + " | ".join(number_of(one[name]) for name in columns) + " |")
    return ["## Metrics by label", "", *rows, ""]


def _origin(card: ModelCard, results: Mapping[str, Any]) -> list[str]:
    tracks = ", ".join(f"{count} {part}" for part, count in results["tracks"].items())
    lines = [
        "## Provenance",
        "",
        f"- dataset: {card.provenance['dataset']} ({tracks})",
        f"- fingerprint of the dataset: {card.provenance['dataset_sha256']}",
        f"- code: version {card.provenance['code_version']}; seed {card.provenance['seed']}",
        f"- base models: {card.provenance['built_on'] or 'none, trained from scratch'}",
        f"- trained in {card.metrics['duration_s']:.0f} s",
        *(f"- note: {warning}" for warning in results["warnings"]),
    ]
    if results["dropped"]:
        lines.append(f"- {len(results['dropped'])} tracks could not be read and are left out")
    return [*lines, ""]


def number_of(value: float | int | None) -> str:
    """Three decimals of a float, a dash for None."""
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
