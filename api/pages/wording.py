"""Numbers, times and durations as people read them."""

from datetime import UTC, datetime

THIN_SPACE = "\u202f"
UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def count(value: int | float) -> str:
    """`1234567` with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", THIN_SPACE)


def percent(value: float | None) -> str:
    """Of 0 to 100; a dash if it is not known yet."""
    return "–" if value is None else f"{value:.0f}{THIN_SPACE}%"


def span(seconds: float | None) -> str:
    """A duration in its two largest units: `2 h 5 min`, `12 s`; a dash if it is not known."""
    if seconds is None:
        return "–"
    left = round(seconds)
    parts: list[str] = []
    for size, name in UNITS:
        if left >= size or (name == "s" and not parts):
            parts.append(f"{left // size} {name}")
            left %= size
        elif parts:
            break
    return " ".join(parts[:2])


def clock(seconds: float | None) -> str:
    """The length of a track: `3:07`, `1:02:09`; a dash if it is not known."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def score(value: float) -> str:
    """Of 0 to 1, with two decimals."""
    return f"{value:.2f}"


def size(count: float) -> str:
    """Bytes in the unit in which they are easy to read: `4.2 MB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def ago(moment: datetime, now: datetime) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `2 d ago`; the date of what is older than a month."""
    seconds = (now - moment).total_seconds()
    if seconds < 10:
        return "just now"
    if seconds > 30 * 86_400:
        return f"{moment:%Y-%m-%d}"
    size, name = next((size, name) for size, name in UNITS if seconds >= size)
    return f"{seconds // size:.0f} {name} ago"


def exact(moment: datetime) -> str:
    """To the second, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(moment: datetime) -> str:
    """As the attribute `datetime` has it."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")
