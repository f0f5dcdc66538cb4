"""What kind of label a common one is, for labels of which no label set says so."""

import re

from core.spelling import name_key

GENRE, MOOD, ERA, VOICES = "genre", "mood", "era", "instruments and voice"

_ERA = re.compile(r"(19|20)?\d0s|oldies")
_BY_FACET = {
    GENRE: (
        *("alternative", "alternative rock", "ambient", "blues", "classic rock", "classical", "country"),
        *("dance", "disco", "drum and bass", "dub", "electro", "electronic", "electronica", "experimental"),
        *(
            "folk",
            "funk",
            "gospel",
            "hard rock",
            "heavy metal",
            "hip hop",
            "hip-hop",
            "house",
            "idm",
            "indie",
        ),
        *("indie pop", "indie rock", "industrial", "international", "jazz", "latin", "lounge", "metal"),
        *("new wave", "noise", "old-time / historic", "pop", "post-rock", "progressive rock", "psychedelic"),
        *("punk", "punk rock", "r&b", "rap", "reggae", "rnb", "rock", "singer-songwriter", "ska", "soul"),
        *("soundtrack", "spoken", "techno", "trance", "trip-hop", "world", "easy listening"),
    ),
    MOOD: (
        *("aggressive", "beautiful", "calm", "catchy", "chill", "chillout", "cool", "dark", "dramatic"),
        *(
            "dreamy",
            "energetic",
            "epic",
            "happy",
            "melancholic",
            "melancholy",
            "mellow",
            "nostalgic",
            "party",
        ),
        *("peaceful", "relax", "relaxing", "romantic", "sad", "sexy", "tender", "upbeat"),
    ),
    VOICES: (
        *("acoustic", "acoustic guitar", "a cappella", "bass", "cello", "choir", "drums", "electric guitar"),
        *("female vocalist", "female vocalists", "flute", "guitar", "harp", "instrumental", "male vocalist"),
        *("male vocalists", "organ", "piano", "saxophone", "singing", "strings", "synthesizer", "trumpet"),
        *("violin", "vocal", "vocals", "voice"),
    ),
}
_FACETS = {name_key(label): facet for facet, labels in _BY_FACET.items() for label in labels}


def facet_of(label: str) -> str | None:
    """None for a label that is not common."""
    key = name_key(label)
    return ERA if _ERA.fullmatch(key) else _FACETS.get(key)
