"""Train without a server, also under torchrun: `python -m core.ml.training CONFIG FOLDER`."""

import sys
from pathlib import Path

from core.config.dataset import InLibrary, placed
from core.config.experiment import load_experiment
from core.errors import InvalidConfig, MFAError
from core.ml.datasets.catalogue import read_dataset
from core.ml.training.processes import is_first, leave_group
from core.ml.training.reports import EpochReport
from core.ml.training.train import train
from core.settings import get_settings


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit("usage: python -m core.ml.training CONFIG FOLDER")
    try:
        run(Path(sys.argv[1]), Path(sys.argv[2]))
    except MFAError as error:
        raise SystemExit(error.detail) from error
    finally:
        leave_group()


def run(config_file: Path, folder: Path) -> None:
    config, settings = load_experiment(config_file), get_settings()
    if isinstance(config.dataset, InLibrary):
        raise InvalidConfig("The tracks of a library are known to the server only: use `mfa train`.")
    root = placed(config.dataset.root, settings.data_dir)
    dataset = read_dataset(config.dataset.model_copy(update={"root": str(root)}))
    result = train(
        config,
        dataset,
        print_epoch,
        folder=folder,
        cache_dir=settings.cache_dir,
        models_dir=settings.models_dir,
        device=settings.device,
    )
    if is_first():
        say(f"{folder}: " + ", ".join(f"{name} {value:.3f}" for name, value in result.metrics.items()))


def print_epoch(report: EpochReport) -> None:
    fold = "" if report.fold is None else f"fold {report.fold} of {report.folds}, "
    losses = {"loss": report.train_loss, "validation loss": report.validation_loss}
    known = "".join(f", {name} {value:.4f}" for name, value in losses.items() if value is not None)
    say(f"{fold}epoch {report.epoch} of {report.epochs}{known}, {report.duration_s:.1f} s")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
