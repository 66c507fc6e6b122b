"""Words that messages of all packages share."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`1 band`, `3 bands`, `2 classes`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
