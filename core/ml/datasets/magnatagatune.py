"""MagnaTagATune: 188 tags from an annotation game, in two tab-separated files.

Law et al., 2009. The part of a clip follows from the first character of its folder, as is common.
"""

from pathlib import Path

from core.ml.datasets.errors import DatasetFileMissing
from core.ml.datasets.examples import Dataset, Example, Part
from core.ml.datasets.paths import inside
from core.ml.datasets.tables import malformed, records

ANNOTATIONS = "annotations_final.csv"
CLIPS = "clip_info_final.csv"
_PARTS = dict.fromkeys("0123456789ab", Part.TRAIN) | {"c": Part.VALIDATION} | dict.fromkeys("def", Part.TEST)


def read(root: Path) -> Dataset:
    """Every clip with its tags; with artists and albums if the file of clips exists."""
    annotations = root / ANNOTATIONS
    clips = _clips(root, root / CLIPS)
    examples: list[Example] = []
    for line, row in records(root, annotations, required=("clip_id", "mp3_path"), delimiter="\t"):
        clip, path = row.pop("clip_id"), inside(row.pop("mp3_path"), annotations, line)
        part = _PARTS.get(path.parts[0]) if len(path.parts) == 2 else None
        if part is None:
            raise malformed(annotations, line, f"{str(path)!r} is not like f/name.mp3")
        artist, album = clips.get(clip, (None, None))
        tags = tuple(tag for tag, given in row.items() if given == "1")
        examples.append(Example(clip, root / path, tags, artist, album, part))
    return Dataset("MagnaTagATune", tuple(examples), root=root)


def _clips(root: Path, path: Path) -> dict[str, tuple[str | None, str | None]]:
    """Artist and album of each clip, if known."""
    try:
        found = records(root, path, required=("clip_id", "artist", "album"), delimiter="\t")
        return {row["clip_id"]: (row["artist"] or None, row["album"] or None) for _, row in found}
    except DatasetFileMissing:
        return {}
