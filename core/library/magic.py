"""Recognises audio by the first bytes of a file, if its name is not conclusive. Nothing is decoded."""

HEAD_BYTES = 64

# Image formats that share the container of MP4 (ISO/IEC 23008-12, AV1 Image File Format, Canon CR3).
_IMAGE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis", b"crx ")
_BEGINNINGS = (
    *(b"ID3", b"fLaC", b"OggS", b"RF64", b"BW64", b".snd", b"dns.", b"caff", b"wvpk", b"TTA1", b"TTA2"),
    *(b"MAC ", b"MPCK", b"MP+", b"DSD ", b"FRM8", b"#!AMR", b"\x1aE\xdf\xa3"),
    b"\x0bw",  # AC-3 and E-AC-3
    *(b"\x7f\xfe\x80\x01", b"\xfe\x7f\x01\x80", b"\x1f\xff\xe8\x00", b"\xff\x1f\x00\xe8"),  # DTS
    bytes.fromhex("3026b2758e66cf11"),  # ASF
    bytes.fromhex("726966662e91cf11"),  # Wave64
)


def is_apple_double(head: bytes) -> bool:
    """Whether it is an AppleDouble file, in which macOS stores attributes (RFC 1740)."""
    return head.startswith(b"\x00\x05\x16\x07")


def looks_like_audio(head: bytes) -> bool:
    """Whether a file that begins with `head` (HEAD_BYTES, or the whole file if shorter) may be audio."""
    if head.startswith((b"RIFF", b"RIFX")):
        return head[8:12] == b"WAVE"
    if head.startswith(b"FORM"):
        return head[8:12] in (b"AIFF", b"AIFC")
    if head[4:8] == b"ftyp":
        return head[8:12] not in _IMAGE_BRANDS
    return head.startswith(_BEGINNINGS) or _is_adts(head) or _is_mpeg_audio(head)


def _is_adts(head: bytes) -> bool:
    """ADTS header (ISO/IEC 13818-7, 6.2): twelve bits of sync, layer 0, a rate that is defined."""
    return len(head) >= 7 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0 and head[2] >> 2 & 15 < 13


def _is_mpeg_audio(head: bytes) -> bool:
    """Frame header of layer II or III (ISO/IEC 11172-3, 2.4.1.3).

    Layer I is excluded: the byte order mark of UTF-16 would match.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and layer in (1, 2) and head[2] >> 4 != 15 and head[2] >> 2 & 3 != 3
