"""What REST says, in the words of the command line: commands in place of routes, options of parameters."""

import re

ROUTES = (
    ("GET /api/v1/queries", "mfa queries"),
    ("GET /api/v1/libraries", "mfa libraries"),
    (r"PATCH /api/v1/libraries/\{name\}", "mfa libraries move NAME FOLDER"),
    (r"GET /api/v1/models/([\w.-]*\w)", r"mfa models show \1"),
    ("GET /api/v1/models", "mfa models"),
    ("GET /api/v1/retrainings", "mfa models"),
    (r"PUT /api/v1/retrainings/([\w.-]*\w)", r"mfa models retrain \1 --after N --library NAME"),
    ("GET /api/v1/experiments", "mfa runs"),
    ("GET /api/v1/corrections", "mfa changes"),
    (r"POST /api/v1/studies/\{id\}/resume", "mfa tune --resume ID"),
)
SENTENCES = {
    "A job of this kind has no items: its outcome is the job's own `result`.": (
        "A job of this kind has no tracks to export: `mfa jobs ID` shows what it has found."
    ),
    "GET /api/v1/label-sets lists those of your own.": (
        "`mfa correct TRACK +LABEL --allow-new` gives a new one."
    ),
}
NAMES = {"genre": "LABEL", "not_genre": "--not", "q": "--path", "after_tracks": "--after"}
OPTIONS = (
    "against", "beta", "force", "label", "library", "limit", "max_score", "min_precision", "min_score",
    "model", "other", "sort", "strategy", "text",
)  # fmt: skip


def in_cli_words(sentence: str) -> str:
    """A sentence of REST; routes that no command stands for stay as they are."""
    for rest, said in SENTENCES.items():
        sentence = sentence.replace(rest, said)
    for route, command in ROUTES:
        sentence = re.sub(rf"`?{route}`?(?![/\w])", f"`{command}`", sentence)
    return re.sub(r"`([a-z_]+)`", lambda found: _name_of(found[1]) or found[0], sentence)


def option_of(location: str) -> str:
    """What a place in a request is called here: `query.genre` is LABEL, `body.params.library` --library."""
    place = re.sub(r"^(?:query|path|body)\.(?:params\.)?", "", location)
    return _name_of(place) or place


def _name_of(parameter: str) -> str | None:
    option = f"--{parameter.replace('_', '-')}" if parameter in OPTIONS else None
    return NAMES.get(parameter, option)
