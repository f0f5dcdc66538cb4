"""Classifies files and folders by name: audio, system folders, unfinished copies."""

import os
import re

# Suffixes of every format that is decoded, or recognised as unsupported.
AUDIO_SUFFIXES = frozenset(
    [
        *(".mp3", ".mp2", ".mp1", ".mpa", ".mpga"),
        *(".flac", ".fla"),
        *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".rifx"),
        *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
        *(".ogg", ".oga", ".ogx", ".opus", ".spx"),
        *(".m4a", ".m4b", ".m4r", ".m4p", ".mp4", ".mov", ".3gp", ".3g2"),
        *(".aac", ".adts", ".ac3", ".eac3", ".dts", ".wma", ".asf"),
        *(".wv", ".tta", ".ape", ".mpc", ".mp+", ".mpp", ".dsf", ".dff"),
        *(".mka", ".mkv", ".webm", ".weba", ".amr"),
    ]
)

# Suffixes of common other files. Any other suffix may be part of a title: "01.Overture".
_OTHER_SUFFIXES = frozenset(
    [
        *(".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".heic", ".svg", ".ico", ".psd"),
        *(".cue", ".log", ".accurip", ".md5", ".sfv", ".ffp", ".sha1", ".sha256", ".par2", ".torrent"),
        *(".m3u", ".m3u8", ".pls", ".xspf", ".wpl", ".asx", ".fpl", ".mpl"),
        *(".txt", ".nfo", ".md", ".pdf", ".doc", ".docx", ".rtf", ".epub", ".htm", ".html", ".url", ".lnk"),
        *(
            ".json",
            ".xml",
            ".csv",
            ".tsv",
            ".yaml",
            ".yml",
            ".ini",
            ".db",
            ".sqlite",
            ".plist",
            ".lrc",
            ".srt",
        ),
        *(".zip", ".rar", ".7z", ".gz", ".tar", ".iso", ".bin", ".img", ".exe", ".dll", ".apk", ".py", ".js"),
        *(".part", ".partial", ".crdownload", ".download", ".tmp", ".bak", ".mid", ".midi", ".kar"),
        *(".asd", ".als", ".flp", ".logicx", ".cpr", ".ptx", ".pek", ".reapeaks", ".sfk", ".nki"),
    ]
)

# Folders of desktops, network storage, snapshots, version control and synchronisation; lower case.
_SYSTEM_FOLDERS = frozenset(
    [
        *("__macosx", ".appledouble", ".appledb", ".appledesktop", ".spotlight-v100", ".fseventsd"),
        *(".temporaryitems", ".documentrevisions-v100", ".trash", ".trashes", ".mediaartlocal"),
        *("$recycle.bin", "system volume information", "lost+found"),
        *("@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", ".@__thumb", "@recently-snapshot"),
        *(".recycle", ".snapshot", ".snapshots", ".zfs", ".git", ".svn", ".hg", ".bzr"),
        *(".thumbnails", ".thumbs", ".cache", ".~tmp~", ".rsync-partial"),
        *(".stfolder", ".stversions", ".sync", ".dropbox.cache", ".tmp.drivedownload", ".tmp.driveupload"),
    ]
)
# Files that ask media programs to ignore their folder.
MARKERS = frozenset({".nomedia", ".ndignore"})

# Longer ones, and those without a letter ("vol.2"), are part of a title.
_SUFFIX = re.compile(r"\.(?=[a-z0-9_~+-]*[a-z])[a-z0-9_~+-]{1,10}")
# rsync writes `song.mp3` as `.song.mp3.Xa81bQ` until it is complete.
_RSYNC_COPY = re.compile(r"\.(.+)\.[A-Za-z0-9]{6}")


def suffix_of(name: str) -> str:
    """The suffix of a file name in lower case, with its dot; "" if it has none.

    Leading dots do not begin a suffix.
    """
    suffix = os.path.splitext(name)[1].lower()
    return suffix if _SUFFIX.fullmatch(suffix) else ""


def has_audio_suffix(name: str) -> bool:
    return suffix_of(name) in AUDIO_SUFFIXES


def says_no_audio(name: str) -> bool:
    """Whether the suffix is that of another kind of file; otherwise the content decides."""
    return suffix_of(name) in _OTHER_SUFFIXES


def is_system_folder(name: str) -> bool:
    """Whether the folder was created by a system, not by the user."""
    lower = name.lower()
    return lower in _SYSTEM_FOLDERS or lower.startswith(".trash-")


def is_unfinished_copy(name: str) -> bool:
    """Whether it is a temporary file of rsync; those of other programs have their own suffixes."""
    found = _RSYNC_COPY.fullmatch(name)
    return found is not None and has_audio_suffix(found[1]) and not has_audio_suffix(name)
