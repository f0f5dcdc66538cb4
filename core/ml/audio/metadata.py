"""What decoding knows of a file and its tags' reader cannot: where the audio lies, and FFmpeg's metadata."""

from functools import cached_property

from core.errors import ItemError
from core.library.window import Window
from core.ml.audio.pyav import open_container
from core.ml.audio.sniff import Format, sniff


class AudioContainer:
    """The audio of an open file, which is looked at when it is first asked for."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @cached_property
    def _form(self) -> Format | None:
        try:
            return sniff(self._descriptor)
        except (MemoryError, OSError):
            raise
        except Exception:  # whatever is wrong with its audio, decoding says it
            return None

    @property
    def start(self) -> int | None:
        """Where it begins, behind tags and junk; None: unknown."""
        return self._form.offset if self._form else None

    def metadata(self) -> dict[str, str]:
        """Values by their names in the file, those of the audio stream before those of the container."""
        if self._form is None:
            return {}
        try:
            container = open_container(Window(self._descriptor, self._form.offset), self._form.demuxer)
        except ItemError:  # its headers are damaged, which decoding says
            return {}
        with container:
            found = dict(container.metadata)
            for stream in container.streams.audio[:1]:
                found |= {key: value for key, value in stream.metadata.items() if value}
            return found
