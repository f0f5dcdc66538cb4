"""Where the audio of a file begins, and its metadata as read by FFmpeg, for the reader of tags."""

from functools import cached_property

from core.errors import ItemError
from core.library.window import Window
from core.ml.audio.pyav import open_container
from core.ml.audio.sniff import Format, sniff


class AudioContainer:
    """The audio of an open file, which is examined on first use."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @cached_property
    def _form(self) -> Format | None:
        try:
            return sniff(self._descriptor)
        except (MemoryError, OSError):
            raise
        except Exception:  # decoding reports what is wrong with the audio
            return None

    @property
    def start(self) -> int | None:
        """Offset of the audio, after tags and junk; None if unknown."""
        return self._form.offset if self._form else None

    def metadata(self) -> dict[str, str]:
        """Values by name; those of the audio stream take precedence over those of the container."""
        if self._form is None:
            return {}
        try:
            container = open_container(Window(self._descriptor, self._form.offset), self._form.demuxer)
        except ItemError:  # damaged headers, which decoding reports
            return {}
        with container:
            found = dict(container.metadata)
            for stream in container.streams.audio[:1]:
                found |= {key: value for key, value in stream.metadata.items() if value}
            return found
