"""Decoding and reading of tags in helper processes, where nothing but the file at hand can be reached.

Everything that reads files from outside goes through here. The functions are those of one `Sandbox` that
the whole process shares; its helpers start when they are first needed and end with this process.
"""

import atexit

from core.ml.audio.sandbox.client import Sandbox, Spent

__all__ = ["Sandbox", "Spent", "decode_windows", "hash_audio", "read_tags", "stream", "stream_windows"]

_shared = Sandbox()
atexit.register(_shared.close)

stream = _shared.stream
stream_windows = _shared.stream_windows
decode_windows = _shared.decode_windows
read_tags = _shared.read_tags
hash_audio = _shared.hash_audio
