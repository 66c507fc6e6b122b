"""Numbers with their nouns."""

import pytest

from geounet.wording import counted


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [(1, "band", "1 band"), (0, "band", "0 bands"), (3, "label file", "3 label files"),
     (1, "class", "1 class"), (2, "class", "2 classes")],
)  # fmt: skip
def test_a_noun_follows_its_number(number, noun, words):
    assert counted(number, noun) == words
