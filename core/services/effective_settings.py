"""The settings that a gateway runs with, without what is secret."""

from dataclasses import dataclass

from core.settings import SECRETS, Settings

HIDDEN = (*SECRETS, "api_key")  # addresses with passwords, and a key


@dataclass(frozen=True)
class EffectiveSetting:
    variable: str  # as the environment has it
    description: str
    value: str | None  # None if it is secret, or not set
    is_secret: bool
    is_set: bool  # whether it differs from the default


def list_settings(settings: Settings) -> list[EffectiveSetting]:
    """All settings in the order in which they are documented."""
    return [_describe(settings, name) for name in Settings.model_fields]


def _describe(settings: Settings, name: str) -> EffectiveSetting:
    field, value = Settings.model_fields[name], getattr(settings, name)
    is_secret = name in HIDDEN
    return EffectiveSetting(
        variable=f"MFA_{name.upper()}",
        description=field.description or "",
        value=None if is_secret or value is None else str(value),
        is_secret=is_secret,
        is_set=value != field.default,
    )
