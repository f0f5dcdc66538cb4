"""Whether a server asks for API keys, and what protects it when it does not."""

from ipaddress import ip_address

from core.settings import Settings

DEFAULT_RATE = 50.0  # requests per second; a client that polls asks once a second
DEFAULT_OPEN_JOBS = 1000


def is_loopback(host: str | None) -> bool:
    """`localhost`, `127.0.0.1`, `::1` and their like."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def needs_api_keys(settings: Settings) -> bool:
    if settings.require_api_keys is None:
        return not is_loopback(settings.host)
    return settings.require_api_keys


def is_guarded(settings: Settings) -> bool:
    """Bound to loopback and open: then the address is all that protects it."""
    return is_loopback(settings.host) and not needs_api_keys(settings)


def is_open_to_others(settings: Settings) -> bool:
    """Nothing protects it; only an operator's explicit word makes a server so."""
    return not is_loopback(settings.host) and not needs_api_keys(settings)


def allowed_rate(settings: Settings) -> float:
    """Requests per second of one caller; 0: unlimited, as on the user's own machine."""
    if settings.max_requests_per_s is None:
        return DEFAULT_RATE if needs_api_keys(settings) else 0.0
    return settings.max_requests_per_s


def allowed_open_jobs(settings: Settings) -> int:
    """Jobs of one owner that have not ended; 0: any number."""
    if settings.max_open_jobs is None:
        return DEFAULT_OPEN_JOBS if needs_api_keys(settings) else 0
    return settings.max_open_jobs
