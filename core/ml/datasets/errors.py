"""Errors of a whole dataset; an unreadable audio file is an item error instead."""

from core.errors import Invalid, MFAError


class DatasetFileMissing(Invalid):
    """A file that describes the dataset is missing."""


class DatasetMalformed(Invalid):
    """A file that describes the dataset is not in its format."""


class EmptyLabel(Invalid):
    """A track has an empty label."""


class NoLabelsLeft(Invalid):
    """No label has enough tracks and artists for training."""


class TooFewLabels(Invalid):
    """More labels are requested than the dataset has."""


class OneClassOnly(Invalid):
    """All tracks have the same labels, so there is nothing to distinguish."""


class TooFewGroups(Invalid):
    """There are too few artists for a split."""


class DownloadFailed(MFAError):
    """The download failed repeatedly; run it again to resume it."""


class WrongChecksum(MFAError):
    """The downloaded file does not match its published checksum; it has been deleted."""


class NotEnoughSpace(MFAError):
    """There is not enough disk space."""


class UnsafeArchive(MFAError):
    """The archive contains entries that must not be unpacked."""
