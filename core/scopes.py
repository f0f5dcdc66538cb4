"""What an API key may do."""

from enum import StrEnum


class Scope(StrEnum):
    """Each scope includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
