"""Media types of audio files, and which formats browsers play."""

from core.library.magic import HEAD_BYTES
from core.library.names import AUDIO_SUFFIXES, suffix_of

UNKNOWN = "application/octet-stream"

_SUFFIXES = {
    "audio/mpeg": (".mp3", ".mp2", ".mp1", ".mpa", ".mpga"),
    "audio/flac": (".flac", ".fla"),
    "audio/wav": (".wav", ".wave", ".bwf", ".rf64"),
    "audio/aiff": (".aif", ".aiff", ".aifc"),
    "audio/basic": (".au", ".snd"),
    "audio/x-caf": (".caf",),
    "audio/ogg": (".ogg", ".oga", ".ogx", ".opus", ".spx"),
    "audio/mp4": (".m4a", ".m4b", ".m4r", ".m4p", ".mp4"),
    "audio/aac": (".aac", ".adts"),
    "audio/ac3": (".ac3",),
    "audio/eac3": (".eac3",),
    "audio/vnd.dts": (".dts",),
    "audio/x-ms-wma": (".wma", ".asf"),
    "audio/x-wavpack": (".wv",),
    "audio/x-tta": (".tta",),
    "audio/x-ape": (".ape",),
    "audio/x-musepack": (".mpc", ".mp+", ".mpp"),
    "audio/x-dsf": (".dsf",),
    "audio/x-dff": (".dff",),
    "audio/matroska": (".mka",),
    "audio/webm": (".webm", ".weba"),
    "audio/amr": (".amr",),
    "audio/3gpp": (".3gp",),
    "audio/3gpp2": (".3g2",),
    "video/quicktime": (".mov",),
    "video/matroska": (".mkv",),
}
_BY_SUFFIX = {suffix: media_type for media_type, suffixes in _SUFFIXES.items() for suffix in suffixes}
_BEGINNINGS = {
    b"ID3": "audio/mpeg",
    b"fLaC": "audio/flac",
    b"OggS": "audio/ogg",
    b"\x1aE\xdf\xa3": "audio/webm",
}
# Of Chromium, Firefox and Safari alike. What an MP4 file holds is not seen: Safari alone plays ALAC.
_PLAYABLE = frozenset(
    (
        ".mp3",
        ".flac",
        ".wav",
        ".wave",
        ".ogg",
        ".oga",
        ".opus",
        ".m4a",
        ".m4b",
        ".mp4",
        ".aac",
        ".webm",
        ".weba",
    )
)


def media_type(name: str, head: bytes) -> str:
    """By the suffix of the name or, without one of audio, by the first bytes (HEAD_BYTES) of the file."""
    return _BY_SUFFIX.get(suffix_of(name)) or _by_content(head[:HEAD_BYTES])


def is_playable(name: str) -> bool | None:
    """Whether common browsers play files of the format that the suffix names; None if it names none."""
    suffix = suffix_of(name)
    return suffix in _PLAYABLE if suffix in AUDIO_SUFFIXES else None


def _by_content(head: bytes) -> str:
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        return "audio/wav"
    if head.startswith(b"FORM") and head[8:11] == b"AIF":
        return "audio/aiff"
    if head[4:8] == b"ftyp":
        return "audio/mp4"
    if head[:1] == b"\xff" and head[1:2] >= b"\xe0":
        return "audio/aac" if head[1] & 0x06 == 0 else "audio/mpeg"
    return next((known for start, known in _BEGINNINGS.items() if head.startswith(start)), UNKNOWN)
