"""Decoding and reading of tags in sandboxed helper processes, which can access only the given file.

All untrusted files are read here. The functions are methods of one `Sandbox` shared by the whole process; its
helpers start on demand and end with this process.
"""

import atexit

from core.ml.audio.sandbox.client import CpuTime, Sandbox

__all__ = [
    "CpuTime",
    "Sandbox",
    "decode_windows",
    "hash_audio",
    "read_cover",
    "read_tags",
    "stream",
    "stream_windows",
]

_shared = Sandbox()
atexit.register(_shared.close)

stream = _shared.stream
stream_windows = _shared.stream_windows
decode_windows = _shared.decode_windows
read_tags = _shared.read_tags
read_cover = _shared.read_cover
hash_audio = _shared.hash_audio
