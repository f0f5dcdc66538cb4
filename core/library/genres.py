"""Genre tags as labels."""

import re
from collections.abc import Iterable, Mapping

from core.spelling import name_key

SEPARATORS = ";/|,\\"  # between two genres in one tag


def split_genres(tags: Iterable[str], separators: str, aliases: Mapping[str, str]) -> tuple[str, ...]:
    """`("Rock; Pop/Rock",)` -> `("Rock", "Pop")`; a whole tag that is an alias is not split."""
    names = {name_key(alias): name for alias, name in aliases.items()}
    found: list[str] = []
    for tag in tags:
        if (whole := names.get(name_key(tag))) is not None:
            found.append(whole)
            continue
        pieces = re.split(f"[{re.escape(separators)}]", tag) if separators else [tag]
        found += [names.get(name_key(piece), piece) for piece in pieces]
    return tuple(dict.fromkeys(stripped for piece in found if (stripped := piece.strip())))
