"""Two spellings are one name whatever their case, white space and Unicode form."""

import unicodedata

import pytest

from core.spelling import clean, name_key, suggest


@pytest.mark.parametrize(
    "other",
    [
        "DRUM & BASS",
        "  drum\t&  bass\n",
        "Drum\u00a0&\u2003Bass",  # no-break space, em space
        "Drum\u200b &\ufeff Bass\u200d",  # zero-width space, byte order mark, joiner
        "Dr\u00adum & Bass",  # soft hyphen
        "\u202dDrum & Bass\u202c",  # direction marks
        "\uff24\uff52\uff55\uff4d & Bass",  # full-width letters
    ],
)
def test_spellings_of_one_name_have_one_key(other):
    assert name_key(other) == name_key("Drum & Bass")


@pytest.mark.parametrize(
    "name", ["\u00c9lectro", "Mu\u0308sic", "\uac00\uc694", "\u0160anson", "stra\u00dfe"]
)
def test_unicode_forms_of_one_name_have_one_key(name):
    keys = {name_key(unicodedata.normalize(form, name)) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    assert keys == {name_key(name)}
    assert name_key(name.upper()) == name_key(name)


@pytest.mark.parametrize(
    ("one", "other"), [("Hip-Hop", "Hip Hop"), ("R&B", "RnB"), ("Rock", "Rook"), ("e", "\u00e9")]
)
def test_other_names_have_other_keys(one, other):
    assert name_key(one) != name_key(other)


@pytest.mark.parametrize("text", ["", "  ", "\u200b", "\u00a0\ufeff", "\u200d"])
def test_a_name_of_which_nothing_is_visible_has_no_key(text):
    assert (name_key(text), clean(text)) == ("", "")


def test_a_name_is_shown_with_its_case_and_without_what_cannot_be_seen():
    assert clean(" De\u0301ep\u00a0\u00a0House\u200b ") == "D\u00e9ep House"
    assert clean("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645") == (
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    )


def test_the_nearest_name_is_suggested_in_any_spelling():
    assert suggest("JAZ", ["rock", "Jazz"], "x lists them.") == "; did you mean 'Jazz'?"
    assert suggest("zydeco", ["rock", "Jazz"], "x lists them.") == "; x lists them."
