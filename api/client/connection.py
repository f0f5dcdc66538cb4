"""Which gateway the commands talk to."""

from api.client import display
from api.client.http import Client, ClientError
from core.local.supervisor import gateway_url
from core.settings import get_settings


def connect() -> Client:
    """A client of the gateway at MFA_HOST and MFA_PORT, with the key of MFA_API_KEY."""
    settings = get_settings()
    if not settings.api_key.isascii():
        raise ClientError("MFA_API_KEY is not valid: it has characters that no API key has.")
    return Client(gateway_url(settings), settings.api_key, tell=display.complain)
