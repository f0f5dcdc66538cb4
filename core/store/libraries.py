"""Libraries: named folders of music on the server."""

import os
from collections.abc import Collection
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.errors import (
    ItemError,
    LibraryElsewhere,
    LibraryExists,
    LibraryFolderMissing,
    LibraryNotFound,
    MFAError,
    OutsideLibrary,
    Unavailable,
    is_machine_fault,
)
from core.library.paths import find_beneath, open_folder, validate_relative
from core.spelling import suggest
from core.store.tables import Library, Track
from core.store.track_counts import count_tracks

COMPARED_TRACKS = 100  # of a library that moves


def create_library(session: Session, name: str, path: str) -> tuple[Library, bool]:
    """Create a library; returns it and whether it is new. Idempotent. Raises LibraryExists."""
    folder = resolve_folder(path)
    created = session.scalars(
        insert(Library)
        .values(name=name, path=folder)
        .on_conflict_do_nothing(index_elements=[Library.name], index_where=Library.deleted_at.is_(None))
        .returning(Library)
    ).one_or_none()
    if created is not None:
        return created, True
    known = session.scalars(select(Library).where(Library.name == name)).one_or_none()
    if known is None:  # deleted since
        return create_library(session, name, path)
    if known.path != folder:
        raise LibraryExists(
            f"The library {name!r} exists and is the folder {known.path}. "
            "PATCH /api/v1/libraries/{name} says where the folder of a library has moved to."
        )
    return known, False


def resolve_folder(path: str) -> str:
    """The real path of a library's folder; a symlink is resolved here only. Raises LibraryFolderMissing."""
    try:
        folder = _as_spelled(Path(path)).resolve(strict=True)
        is_folder = folder.is_dir()
    except OSError as error:
        if is_machine_fault(error):
            raise Unavailable(f"The folder {path} does not answer: {error.strerror}.") from error
        is_folder = False
    except (ValueError, RuntimeError):
        is_folder = False
    if not Path(path).is_absolute() or not is_folder:
        raise LibraryFolderMissing(f"{path} is not a folder on the server (an absolute path is needed).")
    return str(folder)


def _as_spelled(path: Path) -> Path:
    """The path as spelt on the file system, which may use another Unicode form."""
    existing = next((folder for folder in (path, *path.parents) if folder.exists()), path)
    if existing == path:
        return path
    try:
        return existing / find_beneath(existing, path.relative_to(existing).as_posix())
    except MFAError:
        return path


def get_library_by_name(session: Session, name: str) -> Library:
    library = session.scalars(select(Library).where(Library.name == name)).one_or_none()
    if library is None:
        raise no_such_library(session, name)
    return library


def no_such_library(session: Session, name: str) -> LibraryNotFound:
    """The error, with the name that is nearest."""
    hint = suggest(name, list_library_names(session), "GET /api/v1/libraries lists them.")
    return LibraryNotFound(f"There is no library {name!r}{hint}")


def check_folder(library: Library, path: str) -> None:
    """Check that a path is a folder in the library. Raises LibraryFolderMissing or OutsideLibrary."""
    root = Path(library.path)
    try:
        os.close(open_folder(root, validate_relative(find_beneath(root, path)).parts))
    except OutsideLibrary:
        raise
    except ItemError as error:
        raise LibraryFolderMissing(f"There is no folder {path!r} in the library {library.name!r}.") from error
    except OSError as error:
        sentence = f"The folder of the library {library.name!r} does not answer: {error.strerror}."
        raise Unavailable(sentence) from error


def check_files(session: Session, library: Library, folder: str) -> None:
    """Check that a folder holds most files of a library, by up to `COMPARED_TRACKS` of them.

    Raises LibraryElsewhere.
    """
    present = (Track.library_id == library.id, Track.missing_at.is_(None))
    query = select(Track.path).where(*present).order_by(Track.id).limit(COMPARED_TRACKS)
    paths = session.scalars(query).all()
    found = sum(os.path.lexists(os.path.join(folder, path)) for path in paths)
    if 2 * found < len(paths):
        raise LibraryElsewhere(
            f"Only {found} of {len(paths)} tracks of the library {library.name!r} that were looked for "
            f"are in {folder}: name the folder that holds what {library.path} has held. `force` moves the "
            "library there nevertheless."
        )


def list_library_names(session: Session) -> list[str]:
    """In alphabetical order; spares counting the tracks."""
    return list(session.scalars(select(Library.name).order_by(Library.name)))


def find_folders(session: Session, names: Collection[str]) -> dict[str, str]:
    """The folders of those of these libraries that exist, by name."""
    return {row.name: row.path for row in session.scalars(select(Library).where(Library.name.in_(names)))}


def list_libraries(session: Session) -> list[tuple[Library, int]]:
    """All libraries by name, each with its number of present tracks."""
    counted = count_tracks(session)
    libraries = session.scalars(select(Library).order_by(Library.name))
    return [(library, counted[library.id].present) for library in libraries if library.id in counted]


def count_present(session: Session, library: Library) -> int:
    """Number of present tracks of a library."""
    counted = count_tracks(session).get(library.id)
    return 0 if counted is None else counted.present
