"""What kind of label a common one is."""

import pytest

from core.library.label_facets import facet_of


@pytest.mark.parametrize(
    ("label", "facet"),
    [
        ("Rock", "genre"),
        ("rnb", "genre"),
        ("Hip-Hop", "genre"),
        ("Sad", "mood"),
        ("90s", "era"),
        ("1990s", "era"),
        ("oldies", "era"),
        ("Female vocalists", "instruments and voice"),
        ("acoustic", "instruments and voice"),
        ("my own label", None),
        ("", None),
    ],
)
def test_common_labels_have_a_kind(label, facet):
    assert facet_of(label) == facet
