"""Signatures of formats: the FFmpeg demuxer of each, and formats that cannot be decoded."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signature:
    pattern: re.Pattern[bytes]  # of the first bytes
    demuxer: str = ""  # empty if there is no decoder
    name: str = ""  # of a format without a decoder


def _known(pattern: bytes, demuxer: str) -> Signature:
    return Signature(re.compile(pattern, re.DOTALL), demuxer)


def _unsupported(pattern: bytes, name: str) -> Signature:
    return Signature(re.compile(pattern, re.DOTALL), name=name)


# Formats that `core.ml.audio.sniff` does not parse. Order matters where one pattern includes another.
SIGNATURES = (
    _known(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    _known(rb"\x1a\x45\xdf\xa3", "matroska"),
    _known(rb"\.snd", "au"),
    _known(rb"caff\x00", "caf"),
    _known(rb"riff\x2e\x91\xcf\x11", "w64"),
    _known(rb"RIFF....AVI ", "avi"),
    _known(rb"wvpk", "wv"),
    _known(rb"TTA1", "tta"),
    _known(rb"MAC ", "ape"),
    _known(rb"MPCK", "mpc8"),
    _known(rb"MP\+[\x07\x17\x27]", "mpc"),
    _known(rb"DSD \x1c\x00\x00\x00", "dsf"),
    _known(rb"FRM8........DSD ", "iff"),
    _known(rb"FORM....8SVX", "iff"),
    _known(rb"tBaK", "tak"),
    _known(rb"ajkg", "shn"),
    _known(rb"#!AMR", "amr"),
    _known(rb"Creative Voice File\x1a", "voc"),
    _known(rb"\.RMF|\.ra\xfd", "rm"),
    _known(rb"FLV\x01", "flv"),
    _known(rb"ea3\x03|EA3[\x01\x03]", "oma"),
    _known(rb"NIST_1A\n", "nistsphere"),
    _known(rb"qoaf", "qoa"),
    _known(rb"\x00\x00\x01\xba", "mpeg"),
    _known(rb"\x47(?=.{187}\x47.{187}\x47)", "mpegts"),
    _known(rb"\x7f\xfe\x80\x01|\xfe\x7f\x01\x80|\x1f\xff\xe8\x00|\xff\x1f\x00\xe8", "dts"),
    _known(rb"\x0b\x77...[\x00-\x57]", "ac3"),
    _known(rb"\x0b\x77...[\x58-\x87]", "eac3"),
    _unsupported(rb"OFR ", "OptimFROG"),
    _unsupported(rb"LA0[234]", "Lossless Audio (LA)"),
    _unsupported(rb"....\x57\x90\x75\x36", "DRM-protected Audible audio"),
    _unsupported(rb"MP\+", "Musepack of a stream version before 7"),
    _unsupported(rb"\.aac_ADIF|ADIF", "AAC in an ADIF header"),
    _unsupported(rb"SPDIF", "S/PDIF"),
    _unsupported(rb"Extended Module: |IMPM|.{44}SCRM|.{1080}(?:M\.K\.|M!K!|FLT4|[468]CHN)", "tracker module"),
)
HEAD_BYTES = 1 << 11

# Common files that are not audio, with an explanation each.
NOT_AUDIO = (
    (
        re.compile(rb"MThd|RIFF....RMID", re.DOTALL),
        "This is a MIDI file: it contains notes, but no recorded sound.",
    ),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|BM....\x00\x00|RIFF....WEBP", re.DOTALL), "This is a picture."),
    (re.compile(rb"%PDF"), "This is a PDF document."),
    (re.compile(rb"PK\x03\x04|Rar!|7z\xbc\xaf|\x1f\x8b\x08"), "This is an archive; unpack it first."),
    (
        re.compile(rb"(?:\xef\xbb\xbf)?(?:#EXTM3U|\[playlist\]|ffconcat)"),
        "This is a playlist, which contains no sound itself.",
    ),
)


def find(head: bytes) -> Signature | None:
    """The signature that matches the first `HEAD_BYTES` of a file; None if there is none."""
    return next((signature for signature in SIGNATURES if signature.pattern.match(head)), None)


def explain_not_audio(head: bytes) -> str | None:
    """An explanation for a file that is not audio; None if its type is unknown."""
    return next((sentence for pattern, sentence in NOT_AUDIO if pattern.match(head)), None)
