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


def score(value: float | None, digits: int = 2) -> str:
    """A number around 0 to 1; a dash if it is not known."""
    return "–" if value is None else f"{value:.{digits}f}"


def share(value: float | None) -> str:
    """A number of 0 to 1 in percent: `93 %`, `0.4 %`; a dash if it is not known."""
    if value is None:
        return "–"
    digits = 1 if 0 < value < 0.1 or 0.99 < value < 1 else 0
    return f"{100 * value:.{digits}f}{THIN_SPACE}%"


def short(value: object) -> str:
    """A value of a configuration: numbers to four digits, None as a dash."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(short, value))
    return "–" if value is None else str(value)


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
