"""The rule for damaged audio, the same for all formats."""

from core.errors import Corrupt

# What a label can do without.
MOST_MISSING_SHARE, MOST_MISSING_S = 0.05, 10.0
_NEGLIGIBLE_S = 1e-3
_BREAKS_OFF = " The file breaks off there, and does not say how long it was."


def judge(decoded_s: float, missing_s: float, *, breaks_off: bool = False) -> tuple[str, ...]:
    """Warnings on a track of which some is missing; raises `Corrupt` when that is too much.

    `breaks_off`: the file ends in the middle, and nothing tells how much followed.
    """
    if missing_s < _NEGLIGIBLE_S:
        return ()
    total_s = decoded_s + missing_s
    share = missing_s / total_s
    amount = f"{missing_s:.2f} s of {total_s:.2f} s ({100 * share:.1f} %)"
    if share > MOST_MISSING_SHARE or missing_s > MOST_MISSING_S:
        raise Corrupt(f"The audio is damaged or cut off: {amount} cannot be decoded.")
    warning = f"The audio is damaged or cut off: {amount} could not be decoded and is left out."
    return (warning + (_BREAKS_OFF if breaks_off else ""),)
