"""Tags of containers that FFmpeg alone knows how to read."""

from core.audio.pyav import open_container
from core.audio.sniff import sniff
from core.errors import ItemError
from core.library.window import Window

_DEMUXERS = frozenset({"matroska", "caf", "w64", "mov"})


def read_metadata(descriptor: int) -> dict[str, str]:
    """Values by their names in the file, those of the audio stream before those of the container."""
    try:
        form = sniff(descriptor)
    except ItemError:  # it holds no audio, which decoding says
        return {}
    if form.demuxer not in _DEMUXERS:
        return {}
    with open_container(Window(descriptor, form.offset), form.demuxer) as container:
        found = dict(container.metadata)
        for stream in container.streams.audio[:1]:
            found |= {key: value for key, value in stream.metadata.items() if value}
        return found
