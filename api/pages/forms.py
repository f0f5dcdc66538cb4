"""What forms send, which is always text."""

from pydantic import BeforeValidator

# For parameters and fields that may be None: a form sends an empty text for what was not filled in.
Blank = BeforeValidator(lambda value: None if value == "" else value)
