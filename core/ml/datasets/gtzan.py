"""GTZAN: ten genres of a hundred clips each, with known faults.

The fault-filtered lists (Kereliuk, Sturm and Larsen, 2015) exclude repetitions and wrong labels and keep each
artist in one part; put `train_filtered.txt`, `valid_filtered.txt` and `test_filtered.txt` beside the genres.
"""

from pathlib import Path, PurePosixPath

from core.ml.datasets.errors import DatasetFileMissing, DatasetMalformed
from core.ml.datasets.examples import Dataset, Example, Part
from core.ml.datasets.folder import audio_files
from core.ml.datasets.paths import inside
from core.ml.datasets.tables import lines

LISTS = {
    Part.TRAIN: "train_filtered.txt",
    Part.VALIDATION: "valid_filtered.txt",
    Part.TEST: "test_filtered.txt",
}
_GENRE_FOLDERS = ("genres", "genres_original")  # as published, and as in the copy on Kaggle


def read(root: Path) -> Dataset:
    """The tracks of the three lists with their parts; without the lists, every clip and no parts."""
    folder = next((root / name for name in _GENRE_FOLDERS if (root / name).is_dir()), root)
    there = {path.with_suffix(""): path for path in sorted(audio_files(folder)) if len(path.parts) == 2}
    present = [name for name in LISTS.values() if (root / name).is_file()]
    if not present:
        return Dataset("GTZAN", tuple(_example(folder, path, None) for path in there.values()), root=root)
    if len(present) < len(LISTS):
        raise DatasetFileMissing(f"Of {', '.join(LISTS.values())} only {', '.join(present)} are in {root}.")
    examples = []
    for part, name in LISTS.items():
        for listed in (inside(line, root / name) for line in lines(root, root / name)):
            if len(listed.parts) != 2:
                raise DatasetMalformed(f"{root / name}: {str(listed)!r} is not like blues/blues.00029.wav.")
            examples.append(_example(folder, there.get(listed.with_suffix(""), listed), part))
    return Dataset("GTZAN", tuple(examples), root=root)


def _example(folder: Path, path: PurePosixPath, part: Part | None) -> Example:
    return Example(str(path.with_suffix("")), folder / path, (path.parts[0],), part=part)
