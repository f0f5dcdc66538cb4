"""Files that commands write: refused before any work if they cannot be, and whole or not there."""

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import NamedTemporaryFile
from typing import BinaryIO

import typer

from core.output.spreadsheets import guard


def check_file(file: Path | None) -> Path | None:
    """The callback of an option that names a file to write: tries whether its folder takes a new file."""
    if file is None:
        return None
    if str(file) == "-":
        raise typer.BadParameter("- is no file. Without such an option, a pipe gets a table of the list.")
    if file.is_dir():
        raise typer.BadParameter(f"{file} is a folder.")
    if not file.exists() or file.is_file():
        _try_folder(file.resolve().parent)
    if file.exists() and not os.access(file, os.W_OK):
        raise typer.BadParameter(f"{file} cannot be written.")
    return file


def check_folder(folder: Path | None) -> Path | None:
    """The callback of an option that names a folder to write files into, or to make for them."""
    if folder is not None:
        _try_folder(next(each for each in (folder, *folder.absolute().parents) if each.exists()))
    return folder


def _try_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise typer.BadParameter(f"There is no folder {folder}.")
    try:
        NamedTemporaryFile(dir=folder, prefix=".mfa-").close()
    except OSError as error:
        raise typer.BadParameter(f"The folder {folder} cannot be written to: {error.strerror}.") from None


@contextmanager
def whole_file(file: Path) -> Iterator[BinaryIO]:
    """Open for writing; the file appears, or is replaced, when the block ends without an error.

    A link stays one: the file that it names is replaced. A device or a pipe is written to as it is.
    """
    target = file.resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as out:
            yield out
        return
    partial = target.with_name(f".mfa-{token_hex(8)}.part")
    try:
        with partial.open("xb") as out:
            yield out
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def csv_file(file: Path, columns: Iterable[str]) -> Iterator[Callable[[Iterable[object]], None]]:
    """A function that adds a row: RFC 4180 in UTF-8, texts that a spreadsheet would calculate marked."""
    with whole_file(file) as out, io.TextIOWrapper(out, encoding="utf-8", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(columns)

        def add(row: Iterable[object]) -> None:
            writer.writerow([guard(value) if isinstance(value, str) else value for value in row])

        yield add
