"""Which gateway the commands talk to."""

from pydantic import ValidationError

from api.client import display
from api.client.http import Client, ClientError
from core.local.supervisor import gateway_url
from core.settings import Settings, get_settings


def load_settings() -> Settings:
    try:
        return get_settings()
    except ValidationError as error:
        wrong = "; ".join(f"MFA_{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors())
        raise ClientError(f"The settings are not valid: {wrong}.") from None


def connect() -> Client:
    """A client of the gateway at MFA_HOST and MFA_PORT, with the key of MFA_API_KEY."""
    settings = load_settings()
    if not settings.api_key.isascii():
        raise ClientError("MFA_API_KEY is not valid: it has characters that no API key has.")
    return Client(gateway_url(settings), settings.api_key, tell=display.complain)
