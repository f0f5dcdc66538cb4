"""Every error shown to users. The docstring is the default message, the class name the stable code."""

import errno
import re

_EXHAUSTED = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,  # a limit on file sizes, which a helper's shared memory may exceed
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOBUFS,
    errno.EAGAIN,  # also a file whose lease another process holds; the same number as EWOULDBLOCK
    errno.EINTR,
    errno.EBUSY,
)
# Errors of a network file system while its server is unavailable or restarting.
_NETWORK = (
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENETRESET,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.ENOTCONN,
    errno.ENOLINK,
    errno.ECOMM,
    errno.EREMOTEIO,
)
_MACHINE_FAULTS = frozenset((*_EXHAUSTED, *_NETWORK))


def is_machine_fault(error: OSError) -> bool:
    """Whether an error is a fault of the machine, not of the file; such work is retried.

    EIO counts as the file's error: a bad sector stays bad, and must fail one file only. A helper process that
    does not start is always the machine's fault.
    """
    return error.errno in _MACHINE_FAULTS or isinstance(error, ChildProcessError)


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


class TooManyJobs(MFAError):
    """This key has as many open jobs as it may have: wait until one has ended or cancel it."""


class Unavailable(MFAError):
    """A service this needs does not answer; try again shortly."""


class NoDiskSpace(Unavailable):
    """There is too little disk space."""


class InvalidConfig(Invalid):
    """The configuration cannot be used."""


class UnusableDataset(Invalid):
    """A model cannot be trained on this dataset."""


class TrainingDiverged(MFAError):
    """The loss is no longer a number: lower the learning rate."""


class FeatureStoreFull(MFAError):
    """The feature store is full of features that were used in the last day: raise MFA_FEATURE_STORE_GB."""


class NotMeasurable(MFAError):
    """The objective of the study cannot be told from so few validation tracks."""


class LibraryNotFound(NotFound):
    """There is no library of this name; `GET /api/v1/libraries` lists them."""


class LibraryFolderMissing(Invalid):
    """The folder does not exist on the server, or is no folder."""


class LibraryExists(Conflict):
    """A library of this name exists with another folder."""


class LibraryElsewhere(Conflict):
    """Most files of the library are not in that folder; `force` moves it there nevertheless."""


class LibraryInUse(Conflict):
    """An open job works on this library; wait until it has ended or cancel it."""


class NothingToRollBackTo(Conflict):
    """No model was the default before this one."""


class ExperimentNotFound(NotFound):
    """There is no such experiment; `GET /api/v1/experiments` lists them."""


class RunNotFound(NotFound):
    """There is no run with this id."""


class RetrainingNotFound(NotFound):
    """Models of this name are not trained by themselves; `GET /api/v1/retrainings` lists which are."""


class StudyNotFound(NotFound):
    """There is no study with this id."""


class TrialNotFound(NotFound):
    """The study has no trial with this number."""


class StudyAtWork(Conflict):
    """A job of this study is still running; wait until it has ended or cancel it."""


class RunAtWork(Conflict):
    """The training of this run has not ended; wait until it has or cancel it."""


class RetrainingAtWork(Conflict):
    """A training of this model is still running; wait until it has ended or cancel it."""


class GridExhausted(Conflict):
    """Every point of this study's grid has been tried."""


class NoBestTrial(Conflict):
    """No trial of this study is complete yet."""


class ArtifactNotFound(NotFound):
    """The run has left no such file; a run that has not succeeded has left none."""


class DatasetOutsideLibraries(Forbidden):
    """The dataset lies in no library: name one as a library first, or use an `admin` key."""


class ModelNotFound(NotFound):
    """There is no such model; `GET /api/v1/models` lists them."""


class ModelInUse(Conflict):
    """Something needs this model, so it cannot be deleted now."""


class ModelBeingDeleted(Conflict):
    """A model of this name and version has been deleted and its files are still being removed."""


class JobNotFound(NotFound):
    """There is no job with this id."""


class JobNotFinished(Conflict):
    """The job is still running; wait until it has ended or cancel it."""


class JobBeingRetried(Conflict):
    """An open job retries this one and needs it; wait until that has ended or cancel it."""


class JobHasNoItems(Conflict):
    """A job of this kind has no items: its outcome is the job's own `result`."""


class JobCancelled(Conflict):
    """The job was cancelled."""


class JobFailed(MFAError):
    """The job failed for a reason that lies in the system, not in the request."""


class JobAlreadyEnded(Conflict):
    """The job has ended and cannot be cancelled any more."""


class NothingToRetry(Conflict):
    """Nothing in this job has failed or was left undone."""


class UploadGone(Conflict):
    """The uploaded file is not kept any more: upload it again."""


class IdempotencyKeyReused(Conflict):
    """This Idempotency-Key came with another request before."""


class TrackNotFound(NotFound):
    """There is no track with this id."""


class FileMissing(NotFound):
    """The file of this track is not in its library's folder any more, or not where this server can see it."""


class FileChanged(Conflict):
    """The file of this track has changed since it was listed: analyse its library again."""


class FileInaccessible(Conflict):
    """The server may not read the file of this track; check its permissions and the disk."""


class TrackNotAnalysed(Conflict):
    """The track has no result of this model yet: submit an analysis job first."""


class UnknownLabel(Invalid):
    """No label set and no model has this label."""


class MapNotFound(NotFound):
    """There is no map of these tracks yet; a job of kind `map` draws one."""


class NothingToDraw(Invalid):
    """No embedding of these tracks is stored yet, so they have no places on a map: label them first."""


class LabelSetNotFound(NotFound):
    """There is no label set of this name; `GET /api/v1/label-sets` lists them."""


class LabelSetExists(Conflict):
    """A label set of this name exists with other labels."""


class SessionNotNeeded(Conflict):
    """This server asks for no API keys, so there is nothing to log in to."""


class ChangeNotFound(NotFound):
    """There is no change of corrections with this id; `GET /api/v1/corrections` lists them."""


class QueryNotFound(NotFound):
    """There is no saved query of this name; `GET /api/v1/queries` lists them."""


class TooManyQueries(Conflict):
    """There are as many saved queries as there may be: delete one first."""


class TooManyTracks(Invalid):
    """The query matches more tracks than one request may change."""


class DuplicatesNotMeasured(Invalid):
    """From which similarity on two tracks are near duplicates is not known for this model."""


class ApiKeyNotFound(NotFound):
    """There is no API key with this id."""


class InvalidCursor(Invalid):
    """The cursor is not one that this list has given out."""


class ResultDeleted(Unavailable):
    """A result that was to be reused has been deleted; the work is repeated."""


class LeaseLost(MFAError):
    """Another worker holds this unit now; nothing more may be written for it."""


class ItemError(MFAError):
    """This file cannot be labelled."""


class Empty(ItemError):
    """The file contains no audio."""


class NotAudio(ItemError):
    """The content is not audio, regardless of the file's name."""


class Corrupt(ItemError):
    """The audio is damaged or truncated: it cannot be decoded to its end."""


class TooShort(ItemError):
    """The audio is too short to be labelled."""


class TooLong(ItemError):
    """The audio is longer than the configured maximum."""


class Silent(ItemError):
    """The file contains only silence."""


class TooComplex(ItemError):
    """Decoding this file takes too much time or memory."""


class Undecodable(ItemError):
    """The decoder crashes or hangs on this file."""


class UnsupportedFormat(ItemError):
    """The decoder for this format is not available."""


class NotAFile(ItemError):
    """The path names a folder, a pipe or a device, not a regular file."""


class Unreadable(ItemError):
    """The worker may not read this file; check its permissions and the disk."""


class Disappeared(ItemError):
    """The file has disappeared since the library was listed."""


class OutsideLibrary(ItemError):
    """The path leads outside its library's folder, or through a link that might."""


class Crashed(ItemError):
    """Workers crashed repeatedly on this file; it is skipped."""


class GaveUp(ItemError):
    """The work on this file failed repeatedly for a reason in the system, not in the file."""


ITEM_ERRORS: dict[str, type[ItemError]] = {
    error().code: error
    for error in (
        Empty,
        NotAudio,
        Corrupt,
        TooShort,
        TooLong,
        Silent,
        TooComplex,
        Undecodable,
        UnsupportedFormat,
        NotAFile,
        Unreadable,
        Disappeared,
        OutsideLibrary,
        Crashed,
        GaveUp,
    )
}


def item_error(code: str, detail: str) -> MFAError:
    """The error that a job has stored; `JobFailed` for any code that is not an item's."""
    return ITEM_ERRORS[code](detail) if code in ITEM_ERRORS else JobFailed()
