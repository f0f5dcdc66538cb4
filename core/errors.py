"""Every error that a user can meet. The docstring is the default sentence, the class name the stable code."""

import re


class MFAError(Exception):
    """Something went wrong."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or (type(self).__doc__ or "").strip())

    @property
    def detail(self) -> str:
        return str(self)

    @property
    def code(self) -> str:
        """`TooShort` -> `too_short`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()


class Invalid(MFAError):
    """The request cannot be understood."""


class Unauthenticated(MFAError):
    """A valid API key is needed: send it as `Authorization: Bearer mfa_...`."""


class Forbidden(MFAError):
    """This API key does not have the scope for that."""


class NotFound(MFAError):
    """There is no such thing here."""


class Conflict(MFAError):
    """That contradicts what is already there."""


class Unavailable(MFAError):
    """A service this needs does not answer; try again shortly."""


class ItemError(MFAError):
    """This file cannot be labelled. Costs one item, never a job."""


class Empty(ItemError):
    """The file holds no audio at all."""


class NotAudio(ItemError):
    """The content is not audio, whatever the file's name says."""


class Corrupt(ItemError):
    """The audio is damaged or cut off: it cannot be decoded to its end."""


class TooShort(ItemError):
    """The audio is too short to say anything about it."""


class TooLong(ItemError):
    """The audio is longer than the configured maximum."""


class Silent(ItemError):
    """The file holds nothing but silence."""


class UnsupportedFormat(ItemError):
    """This format needs ffmpeg, which is not installed on the worker."""


class NotAFile(ItemError):
    """The path is not a regular file."""


class Unreadable(ItemError):
    """The worker may not read this file."""


class Disappeared(ItemError):
    """The file was there when the library was listed, but is gone now."""


class OutsideLibrary(ItemError):
    """The path leaves its library's folder."""
