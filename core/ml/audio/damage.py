"""How much audio may be missing from a damaged file, for all formats."""

from core.errors import Corrupt

# A file with more than either missing is refused.
MAX_MISSING_SHARE, MAX_MISSING_S = 0.05, 10.0
_NEGLIGIBLE_S = 1e-3
_TRUNCATED = " The file is truncated, and does not state its length."


def check_damage(decoded_s: float, missing_s: float, *, is_truncated: bool = False) -> tuple[str, ...]:
    """Warnings about missing audio. Raises Corrupt if too much is missing.

    `is_truncated`: the file is cut off and does not state its length.
    """
    if missing_s < _NEGLIGIBLE_S:
        return ()
    total_s = decoded_s + missing_s
    share = missing_s / total_s
    amount = f"{missing_s:.2f} s of {total_s:.2f} s ({100 * share:.1f} %)"
    if share > MAX_MISSING_SHARE or missing_s > MAX_MISSING_S:
        raise Corrupt(f"The audio is damaged or cut off: {amount} cannot be decoded.")
    warning = f"The audio is damaged or cut off: {amount} could not be decoded and is left out."
    return (warning + (_TRUNCATED if is_truncated else ""),)
