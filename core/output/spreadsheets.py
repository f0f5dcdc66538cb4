"""CSV that a spreadsheet opens without calculating anything."""

# A spreadsheet takes a cell that starts with one of these for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def guard(text: str) -> str:
    """Make a spreadsheet show a text that it would calculate."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
