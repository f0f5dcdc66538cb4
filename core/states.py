"""The states of a job, of its units and of its items, and the transitions that exist."""

from enum import StrEnum


class JobState(StrEnum):
    QUEUED = "queued"  #: accepted, nothing of it has started
    RUNNING = "running"  #: a unit of it has started
    CANCELLING = "cancelling"  #: cancelled by its owner, units are being stopped
    SUCCEEDED = "succeeded"  #: every item has an outcome
    FAILED = "failed"  #: a unit gave up for a reason that lies in the system, not in the input
    CANCELLED = "cancelled"  #: stopped; what was done until then is kept


class UnitState(StrEnum):
    READY = "ready"  #: waits for the dispatcher (not before `run_after`)
    DISPATCHED = "dispatched"  #: its task message has been published
    RUNNING = "running"  #: claimed by a worker under a lease
    DONE = "done"
    FAILED = "failed"  #: gave up after bounded attempts
    CANCELLED = "cancelled"


class ItemState(StrEnum):
    PENDING = "pending"  #: no outcome yet
    DONE = "done"  #: analysed by this job
    SKIPPED = "skipped"  #: the result was there already
    FAILED = "failed"  #: cannot be labelled; `error_code` says why


class TrialState(StrEnum):
    WAITING = "waiting"  #: its unit has not been claimed yet
    RUNNING = "running"  #: its parameters are chosen
    COMPLETE = "complete"
    PRUNED = "pruned"  #: ended early: it did worse than others
    FAILED = "failed"  #: its row says why
    CANCELLED = "cancelled"


class Verdict(StrEnum):
    """What a person says about a label of a track. Without one, the label is unknown, not refused."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"  #: the person cannot tell; what a model says stands


class LabelSource(StrEnum):
    CORRECTED = "corrected"  #: a person said so
    MODEL = "model"


class Activity(StrEnum):
    """The current activity of a training."""

    READING = "reading"  #: tracks are decoded or read from the cache
    TRAINING = "training"  #: steps of an epoch, or trees of a forest
    VALIDATING = "validating"  #: validation tracks after an epoch
    SCORING = "scoring"  #: tracks held out from training, with the finished model
    CALIBRATING = "calibrating"  #: thresholds and calibration are chosen
    MEASURING = "measuring"  #: resamples for confidence intervals
    WRITING = "writing"  #: the model with its records and plots
    INSTALLING = "installing"  #: copied to the folder of served models


JOB_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLING, JobState.CANCELLED, JobState.FAILED}),
    JobState.RUNNING: frozenset(
        {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLING, JobState.CANCELLED}
    ),
    JobState.CANCELLING: frozenset({JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}

UNIT_TRANSITIONS: dict[UnitState, frozenset[UnitState]] = {
    UnitState.READY: frozenset({UnitState.DISPATCHED, UnitState.RUNNING, UnitState.CANCELLED}),
    UnitState.DISPATCHED: frozenset({UnitState.READY, UnitState.RUNNING, UnitState.CANCELLED}),
    UnitState.RUNNING: frozenset({UnitState.READY, UnitState.DONE, UnitState.FAILED, UnitState.CANCELLED}),
    UnitState.DONE: frozenset(),
    UnitState.FAILED: frozenset(),
    UnitState.CANCELLED: frozenset(),
}

TERMINAL_JOB_STATES = frozenset(state for state, following in JOB_TRANSITIONS.items() if not following)
TERMINAL_UNIT_STATES = frozenset(state for state, following in UNIT_TRANSITIONS.items() if not following)
OPEN_TRIAL_STATES = (TrialState.WAITING, TrialState.RUNNING)


class TrackOrder(StrEnum):
    """In which order tracks are listed."""

    SCORE = "score"  # of a genre, the highest first
    PATH = "path"  # one library after the other
    DATE = "date"  # of the last change of the file, the newest first
    DURATION = "duration"  # as the model has heard it, the longest first, those not analysed last
