"""Whether a server asks for API keys, and what protects it when it does not."""

from ipaddress import ip_address

from core.settings import Settings


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
