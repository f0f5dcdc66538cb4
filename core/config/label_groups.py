"""Facets of the labels of a label set: what kind of label each is."""

from collections.abc import Iterable

from core.spelling import name_key

Labels = Iterable[tuple[str, str | None]]  # each label with its facet, if it has one


def facets_by_key(labels: Labels) -> dict[str, str]:
    """The key of the facet of each label that has one, by the key of the label; the first one counts."""
    found: dict[str, str] = {}
    for label, facet in labels:
        if facet:
            found.setdefault(name_key(label), name_key(facet))
    return found


def groups_by_facet(labels: Labels) -> tuple[tuple[str, ...], ...]:
    """The labels of each facet, and those without one, in their order."""
    groups: dict[str | None, list[str]] = {}
    for label, facet in labels:
        groups.setdefault(facet, []).append(label)
    return tuple(map(tuple, groups.values()))
