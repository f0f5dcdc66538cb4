"""What can be wrong with a dataset as a whole. A single unreadable audio file is none of these."""

from core.errors import Invalid, MFAError


class DatasetFileMissing(Invalid):
    """A file that describes the dataset is missing."""


class DatasetMalformed(Invalid):
    """A file that describes the dataset is not in its format."""


class EmptyLabel(Invalid):
    """A track has a label without any character in it."""


class NoLabelsLeft(Invalid):
    """No label has enough tracks and artists to be learnt."""


class TooFewLabels(Invalid):
    """More labels are asked for than the dataset has."""


class OneClassOnly(Invalid):
    """All tracks have the same labels, so there is nothing to tell apart."""


class TooFewGroups(Invalid):
    """There are too few artists to divide the tracks by."""


class DownloadFailed(MFAError):
    """The download was broken off again and again; start it once more and it goes on where it stopped."""


class WrongChecksum(MFAError):
    """The file that was downloaded is not the one that was published; it has been deleted."""


class NotEnoughSpace(MFAError):
    """There is not enough space on the disk."""


class UnsafeArchive(MFAError):
    """The archive holds something that must not be unpacked."""
