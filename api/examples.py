"""Examples for the OpenAPI document, by the name of the shape, for shapes that do not have their own."""

from typing import Any

from core import VERSION

JOB_ID = "0b9a6c1e-6f0f-4b7e-9a53-0d5d1f9f2a11"
TRACK_ID = "5d1f0c0e-8a53-4f0e-9c1d-7f3f0a6f4e21"
OTHER_TRACK_ID = "c7a0b1de-4f57-4b0a-8e5c-2a5b9d3f6a10"
MODEL = "musicnn-msd@1"
WHEN = "2026-03-01T12:00:00Z"

LABELS = [{"label": "electronic", "score": 0.61}, {"label": "ambient", "score": 0.42}]
PREDICTION = {"labels": LABELS, "duration_s": 184.3, "model": MODEL, "warnings": [], "scores": None}
TRACK = {
    "id": TRACK_ID,
    "library": "home",
    "path": "jazz/blue.mp3",
    "size": 7340032,
    "tags": {"title": "Blue", "artist": "Somebody"},
    "tags_error": None,
    "playable": True,
    "modified_at": WHEN,
    "missing": False,
    "failure": None,
    "prediction": PREDICTION,
}
STORED_PREDICTION = PREDICTION | {"created_at": WHEN, "coverage": "full"}
CHANGE = {
    "id": "3f0b6a52-7c1d-4d6e-8f7a-1b2c3d4e5f60",
    "author": "local",
    "origin": "track",
    "note": "by ear",
    "undoes": None,
    "created_at": WHEN,
}
CHANGED = {"change": CHANGE["id"], "changed": 2, "unchanged": 0}
CORRECTIONS = [
    {"label": "jazz", "verdict": "yes", "change": CHANGE},
    {"label": "rock", "verdict": "no", "change": CHANGE},
]
TRACK_LABELS = {"track_id": TRACK_ID, "corrections": CORRECTIONS, "history": CORRECTIONS, "entries": 2}
QUERY = "genre=sad%3A0.4..&genre=acoustic&sort=score"
LABEL_SET = {
    "name": "mine",
    "labels": [{"label": "jazz", "facet": "genre"}, {"label": "calm", "facet": "mood"}],
    "exclusive": False,
}
PROGRESS = {
    "total": 1200,
    "done": 300,
    "failed": 2,
    "skipped": 10,
    "percent": 26.0,
    "rate_per_s": 4.1,
    "eta_s": 216.6,
    "left_out": {".jpg": 96, ".cue": 4, "system_folder": 1},
    "warnings": [],
}
API_KEY = {
    "id": "9c5b94b1-35ad-49bb-b118-8e8fc24abf80",
    "name": "media player",
    "prefix": "1f0c9a2b",
    "scopes": ["read"],
    "created_at": WHEN,
    "expires_at": None,
    "revoked_at": None,
}

OFFER = {
    "against": "my-genres@1",
    "verdict": "better",
    "reason": None,
    "tracks": 52,
    "trained_on": 0,
    "not_random": 14,
    "not_labelled": 1,
    "lost_labels": [],
    "new_labels": ["ambient"],
    "artists": 40,
    "labels": 6,
    "f1_before": 0.71,
    "f1": 0.82,
    "difference": 0.11,
    "low": 0.03,
    "high": 0.19,
}

EXPERIMENT = {"name": "my-genres", "created_at": WHEN, "run_count": 1}
RUN_LOG_LINE = {"kind": "stage", "text": "The training has begun.", "at": WHEN}
RUN = {
    "id": JOB_ID,
    "experiment": "my-genres",
    "job_id": JOB_ID,
    "state": "succeeded",
    "model": "my-genres@1",
    "seed": 0,
    "dataset_sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "code_version": "0.2.0, commit 6b2f6e8b1c2d",
    "metrics": {"roc_auc_macro": 0.91},
    "duration_s": 53.2,
    "created_at": WHEN,
    "finished_at": WHEN,
}
EPOCH = {
    "fold": None,
    "epoch": 1,
    "train_loss": 0.52,
    "validation_loss": 0.49,
    "validation": {"roc_auc_macro": 0.82},
    "learning_rate": 0.001,
    "duration_s": 1.9,
    "busy_share": 0.98,
    "is_best": True,
}

SPACE = {"training.lr": {"kind": "float", "low": 0.0001, "high": 0.1, "log": True}}
BEST = {"number": 12, "params": {"training.lr": 0.004}, "values": {"roc_auc_macro": 0.93}}
STUDY = {
    "id": JOB_ID,
    "name": "my-genres",
    "job_id": JOB_ID,
    "state": "succeeded",
    "counts": {"complete": 24, "pruned": 6},
    "objectives": [{"metric": "roc_auc_macro", "direction": "maximize"}],
    "sampler": "tpe",
    "pruner": "median",
    "best": BEST,
    "created_at": WHEN,
}

TRIAL = BEST | {
    "id": "3f0c9f57-64a3-4c8e-8a0e-0a1d2b9d6c42",
    "state": "complete",
    "error": None,
    "reason": None,
    "started_at": WHEN,
    "finished_at": WHEN,
}
JOB = {
    "id": JOB_ID,
    "kind": "analysis",
    "state": "running",
    "progress": PROGRESS,
    "created_at": WHEN,
    "started_at": WHEN,
    "finished_at": None,
    "params": {
        "library": "home",
        "path": "",
        "model": "default",
        "coverage": "full",
        "force": False,
        "confirm_empty": False,
    },
    "result": None,
    "error": None,
}
SYSTEM = {
    "ready": True,
    "missing": [],
    "workers": [
        {
            "name": "batch@host",
            "is_dispatcher": False,
            "queues": ["plan", "batch"],
            "slots": 2,
            "draining": False,
            "alive": True,
            "started_at": WHEN,
            "seen_at": WHEN,
        }
    ],
    "queues": [{"name": "batch", "slots": 2, "running": 2, "waiting": 40, "oldest_waiting_s": 81.5}],
    "open_jobs": {"queued": 0, "running": 1, "cancelling": 0},
    "jobs": [JOB],
    "failures": [
        {
            "code": "not_audio",
            "detail": "The content is not audio, regardless of the file's name.",
            "tracks": 2,
            "jobs": 0,
            "last_job": JOB_ID,
        }
    ],
    "failures_complete": True,
    "library": {
        "libraries": 1,
        "tracks": 1200,
        "bytes": 8912896000,
        "missing": 3,
        "duplicates": 14,
        "labelled": 310,
        "hours": 20.4,
        "model": MODEL,
        "top_labels": [
            {"label": "rock", "facet": "genre", "count": 96},
            {"label": "sad", "facet": "mood", "count": 71},
        ],
        "top_labels_exact": True,
        "counted_at": WHEN,
    },
    "versions": {"server": VERSION, "python": "3.12.7", "postgres": "18.1", "migration": "0016"},
}
ME = {
    "needs_key": True,
    "key_id": API_KEY["id"],
    "name": API_KEY["name"],
    "scopes": API_KEY["scopes"],
    "expires_at": None,
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "Study": STUDY,
    "StudyDetails": STUDY
    | {
        "config": {"study_name": "my-genres", "space": SPACE},
        "pareto_front": [],
        "pareto_size": 0,
        "leaders": [BEST],
        "failures": [],
        "importances": {"roc_auc_macro": {"training.lr": 1.0}},
        "plots": ["history", "importances"],
        "trials": [TRIAL],
        "trials_cursor": None,
    },
    "TrialDetails": TRIAL | {"curve": []},
    "ResumeRequest": {"n_trials": 20},
    "BestRequest": {"trial": None},
    "Job": JOB,
    "System": SYSTEM,
    "Me": ME,
    "EffectiveSetting": {
        "variable": "MFA_PORT",
        "description": "port of the gateway",
        "value": "8000",
        "is_secret": False,
        "is_set": False,
    },
    "Prediction": PREDICTION,
    "Item": {
        "track_id": TRACK_ID,
        "path": "jazz/notes.mp3",
        "state": "failed",
        "error": {"code": "not_audio", "detail": "The content is not audio, regardless of the file's name."},
    },
    "Result": PREDICTION | {"track_id": TRACK_ID, "path": "jazz/blue.mp3"},
    "LibraryRequest": {"name": "home", "path": "/srv/music"},
    "LibraryChange": {"path": "/mnt/disk2/music"},
    "Library": {
        "id": "7f7e2c39-5d4e-4e62-9f0c-3c1d5a0b8e77",
        "name": "home",
        "path": "/srv/music",
        "created_at": WHEN,
        "tracks": 1200,
    },
    "Track": TRACK,
    "ReviewBatch": {
        "model": MODEL,
        "label": None,
        "items": [{"track": TRACK, "value": 0.02, "leased_until": WHEN}],
        "progress": {"decided": 40, "undecided": 1160, "leased": 1},
        "forecast": {"more": 31, "low": 12, "high": 80, "plateau": 0.86, "reason": None, "unmeasured": []},
        "warnings": [],
    },
    "ReleaseRequest": {"tracks": [TRACK_ID]},
    "CorrectionRequest": {"labels": {"jazz": "yes", "rock": "no"}, "note": "by ear", "allow_new": False},
    "CorrectionOutcome": CHANGED,
    "CorrectedTrack": CHANGED | TRACK_LABELS,
    "TrackLabels": TRACK_LABELS,
    "ListedChange": CHANGE
    | {"entries": 2, "standing": 2, "track_id": TRACK_ID, "library": "home", "path": "jazz/song.mp3"},
    "BulkCorrectionRequest": {
        "query": {"library": "home", "q": "christmas"},
        "labels": {"christmas": "yes"},
        "allow_new": True,
        "dry_run": True,
    },
    "BulkOutcome": CHANGED | {"tracks": 2, "not_analysed": 0},
    "CSVImportRequest": {"library": "home", "csv": "path,label,verdict\njazz/blue.mp3,jazz,yes\n"},
    "TagsImportRequest": {"library": "home", "aliases": {"hip hop": "rap"}},
    "ImportOutcome": CHANGED
    | {
        "rows": 3,
        "left_out": {"track_not_found": 1},
        "problems": [
            {
                "line": 4,
                "path": "jazz/red.mp3",
                "code": "track_not_found",
                "detail": "The library has no such track: 'jazz/red.mp3'.",
            }
        ],
    },
    "SavedQueryRequest": {"query": QUERY},
    "SavedQuery": {"name": "sad evenings", "query": QUERY, "created_at": WHEN, "updated_at": WHEN},
    "LabelSetRequest": LABEL_SET,
    "LabelSetChange": {"name": "genres-and-moods"},
    "LabelSet": LABEL_SET | {"created_at": WHEN, "updated_at": WHEN},
    "StoredPrediction": STORED_PREDICTION,
    "TrackPredictions": {"track_id": TRACK_ID, "items": [STORED_PREDICTION]},
    "SimilarTracks": {
        "track_id": TRACK_ID,
        "model": MODEL,
        "items": [
            {"track_id": OTHER_TRACK_ID, "library": "home", "path": "jazz/green.mp3", "similarity": 0.93}
        ],
    },
    "Duplicates": {
        "items": [
            {
                "kind": "similar",
                "count": 2,
                "tracks": [
                    {
                        "track_id": TRACK_ID,
                        "library": "home",
                        "path": "jazz/blue.flac",
                        "size": 24117248,
                        "duration_s": 184.3,
                        "kind": "exact",
                        "similarity": 1.0,
                    },
                    {
                        "track_id": OTHER_TRACK_ID,
                        "library": "home",
                        "path": "old/blue.mp3",
                        "size": 2949120,
                        "duration_s": 184.4,
                        "kind": "similar",
                        "similarity": 0.998,
                    },
                ],
            }
        ],
        "next_cursor": None,
        "compared": 1200,
    },
    "MapPoint": {
        "map_id": "7f0a4f86-52f1-4be1-9a3e-4f0c6a3f9b10",
        "place": 17,
        "x": 41_200,
        "y": 12_800,
        "tracks": [TRACK],
    },
    "Embedding": {"track_id": TRACK_ID, "model": MODEL, "embedding": [0.12, -0.03, 0.88]},
    "TrackFacets": {
        "exact": True,
        "sampled": None,
        "tracks": 1200,
        "missing": 3,
        "missing_exact": True,
        "analysed": 1180,
        "corrected": 40,
        "unsure": 2,
        "labels": [{"label": "jazz", "facet": "genre", "count": 310}],
        "suffixes": {".flac": 800, ".mp3": 400},
        "years": {"1959": 31, "1964": 12},
        "libraries": {"home": 1200},
    },
    "Peaks": {"track_id": TRACK_ID, "duration_s": 184.3, "peaks": [12, 201, 188], "rms": [4, 90, 71]},
    "Model": {
        "name": "musicnn-msd",
        "version": 1,
        "kind": "musicnn",
        "aliases": ["default"],
        "labels": ["electronic", "ambient"],
        "thresholds": [0.1, 0.1],
        "single_label": False,
        "embedding_size": 200,
        "metrics": {"macro_roc_auc": 0.88},
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "created_at": WHEN,
        "offer": None,
        "run_id": JOB_ID,
    },
    "Offer": OFFER,
    "RetrainingRequest": {"after_tracks": 50},
    "Retraining": {
        "model": "my-genres",
        "enabled": True,
        "after_tracks": 50,
        "library": "home",
        "serving": "my-genres@1",
        "corrected": 12,
        "tried_at": WHEN,
        "job": JOB_ID,
        "state": "succeeded",
        "offered": "my-genres@2",
        "error": None,
    },
    "RetrainingProgress": {
        "model": "my-genres",
        "serving": "my-genres@1",
        "library": "home",
        "corrected": 12,
        "job": None,
        "state": None,
    },
    "Experiment": EXPERIMENT,
    "ExperimentRuns": EXPERIMENT | {"runs": [RUN]},
    "Run": RUN,
    "RunDetails": RUN
    | {"config": {"experiment_name": "my-genres"}, "results": None, "epochs": [EPOCH], "artifacts": []},
    "RunLog": {"lines": [RUN_LOG_LINE], "left_out": 0},
    "RunLogLine": RUN_LOG_LINE,
    "RunComparison": {
        "runs": [RUN, RUN],
        "metrics": {"roc_auc_macro": [0.91, 0.93]},
        "differences": {"training.lr": [0.001, 0.003]},
    },
    "PromotionRequest": {"version": 2, "alias": "default"},
    "ApiKeyRequest": {"name": "media player", "scope": "read"},
    "ApiKey": API_KEY,
    "NewApiKey": API_KEY | {"key": "mfa_1f0c9a2b_..."},
    "Health": {"status": "ok", "version": VERSION},
    "Readiness": {"ready": False, "missing": ["No worker takes from the queue `interactive`."]},
    "Problem": {
        "type": "urn:mfa:error:library_not_found",
        "title": "Library not found",
        "status": 404,
        "detail": "There is no library 'home'; GET /api/v1/libraries lists them.",
    },
}
