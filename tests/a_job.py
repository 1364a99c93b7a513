"""A job for other processes, in a module that they import quickly."""

from typing import Any

from clearmr.errors import InputError


def square(number: int) -> dict[str, Any]:
    """The square; a negative number is the user's mistake."""
    if number < 0:
        raise InputError("a number over 0", str(number), "choose another")
    return {"value": number**2}
