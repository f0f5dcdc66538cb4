"""How many trials TPE, random and grid search need: `python -m tests.benchmarks.tuning MODELS_DIR MUSIC_DIR`.

All three search the same table: the out-of-fold ROC-AUC of the transfer model on the sample library, really
trained once for every combination of `LEVELS`. A search has arrived at its first trial that is close enough
to the table's best value. Grid search takes the combinations in a random order, each once: in a fixed one it
would depend on where the best happens to stand.
"""

import argparse
import itertools
import multiprocessing
import statistics
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch

from core.config.experiment import ExperimentConfig, TrainingConfig, load_experiment, parse_experiment
from core.config.search_space import explicit_fields, replaced
from core.config.tuning import Dimension, GridConfig, IntRange, RandomConfig, SamplerConfig, TPEConfig
from core.local.command import cores
from core.ml.datasets.catalogue import read_dataset
from core.ml.training.train import train
from core.ml.tuning import objective
from core.ml.tuning.optimizer import BayesianOptimizer
from core.settings import PROJECT

LEVELS: dict[str, list[Any]] = {
    "training.lr": [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1],
    "training.weight_decay": [0.01, 0.1, 0.3, 1, 3, 10],
    "training.optimizer": ["adamw", "sgd"],
    "model.dropout": [0.0, 0.3, 0.6],
}
EPOCHS = 30
SEEDS = 30
CLOSE = (0.01, 0.002)  # of the best value
SEARCHES: dict[str, SamplerConfig] = {
    "tpe": TPEConfig(),
    "random": RandomConfig(),
    "grid": GridConfig(points=max(map(len, LEVELS.values()))),
}
Point = tuple[int, ...]  # an index per key of LEVELS


def experiment_on(music_dir: Path) -> ExperimentConfig:
    """The samples with a head that is trained by gradient descent, so that there is something to search."""
    config = load_experiment(PROJECT / "configs" / "experiments" / "samples.yaml")
    changed = {
        "dataset": config.dataset.model_copy(update={"root": str(music_dir)}),
        "evaluation": config.evaluation.model_copy(update={"bootstrap": 0}),
        "model": config.model.model_copy(update={"head": "linear"}),
        "training": TrainingConfig(epochs=EPOCHS, ema_decay=0.9, patience=None),
    }
    return config.model_copy(update=changed)


def measure(point: Point, models_dir: Path, music_dir: Path, cache_dir: Path) -> float:
    """Train one combination; in a process of a pool."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        result = train(
            parse_experiment(replaced(explicit_fields(experiment_on(music_dir)), values_of(point))),
            dataset_at(music_dir),
            lambda _: None,
            folder=Path(folder),
            cache_dir=cache_dir,
            models_dir=models_dir,
        )
        return objective.measure(result, ["roc_auc_macro"])[0]


@cache
def dataset_at(music_dir: Path) -> Any:
    return read_dataset(experiment_on(music_dir).dataset)


def values_of(point: Point) -> dict[str, Any]:
    return {key: levels[index] for (key, levels), index in zip(LEVELS.items(), point, strict=True)}


def measure_all(models_dir: Path, music_dir: Path) -> dict[Point, float]:
    points = list(itertools.product(*(range(len(levels)) for levels in LEVELS.values())))
    with tempfile.TemporaryDirectory() as cache_dir:
        where = (models_dir, music_dir, Path(cache_dir))
        measure(points[0], *where)  # listens to the music, once for all
        with multiprocessing.get_context("spawn").Pool(cores()) as pool:
            found = pool.starmap(measure, [(point, *where) for point in points], chunksize=1)
    return dict(zip(points, found, strict=True))


def trials_needed(table: dict[Point, float], sampler: SamplerConfig, seed: int, close: float) -> int:
    """Trials until one is close enough to the best; the size of the table where none was."""
    space: dict[str, Dimension] = {
        key: IntRange(low=0, high=len(levels) - 1) for key, levels in LEVELS.items()
    }
    enough = max(table.values()) * (1 - close)

    def look_up(at: dict[str, int]) -> float:
        return table[tuple(at[key] for key in LEVELS)]

    optimizer = BayesianOptimizer(space, look_up, sampler=sampler, seed=seed)
    for needed in range(1, len(table) + 1):
        optimizer.optimize(1)
        if optimizer.best_value >= enough:
            return needed
    return len(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models_dir", type=Path)
    parser.add_argument("music_dir", type=Path)
    arguments = parser.parse_args()
    start = time.perf_counter()
    table = measure_all(arguments.models_dir.resolve(), arguments.music_dir.resolve())
    best = max(table, key=lambda point: table[point])
    print(f"{len(table)} trainings in {time.perf_counter() - start:.0f} s on {cores()} cores")
    print(f"best ROC-AUC {table[best]:.3f}, worst {min(table.values()):.3f}, best at {values_of(best)}")
    for close in CLOSE:
        compare(table, close)


def compare(table: dict[Point, float], close: float) -> None:
    """Print how many trials each search needs to come so close to the best, over the seeds."""
    best = max(table.values())
    enough = sum(value >= best * (1 - close) for value in table.values())
    print(f"within {close:.1%} of the best, as are {enough} of {len(table)} combinations; {SEEDS} seeds:")
    medians = {}
    for name, sampler in SEARCHES.items():
        needed = sorted(trials_needed(table, sampler, seed, close) for seed in range(SEEDS))
        medians[name] = statistics.median(needed)
        low, _, high = statistics.quantiles(needed, n=4)
        print(
            f"  {name:<7} median {medians[name]:5.1f}, middle half {low:.1f} to {high:.1f}, "
            f"mean {statistics.mean(needed):.1f}, most {needed[-1]}"
        )
    print(f"  grid / tpe: {medians['grid'] / medians['tpe']:.1f} (ratio of medians)")


if __name__ == "__main__":
    main()
