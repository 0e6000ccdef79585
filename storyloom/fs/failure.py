"""Why a file could not be read, in words that hold no secret."""

from __future__ import annotations

from http import HTTPStatus

SERVER = "Try later, or look at the server and at the credentials that it wants; the dataset may be as it was written"
"""What to do where a server fails or refuses."""


def why(reason: BaseException) -> str:
    """What another package's exception says.

    Of an HTTP error that is the status and its phrase alone, and no exception is given as its repr: aiohttp's hold the
    headers of the request, a password among them.
    """
    if isinstance(reason, FileNotFoundError):
        return "there is no such file"
    status = getattr(reason, "status", None)
    if isinstance(status, int):
        return answered(status)
    plain = isinstance(reason, OSError) or all(isinstance(one, str) for one in reason.args)
    return (" ".join(str(reason).split()) if plain else "") or type(reason).__name__


def answered(status: int) -> str:
    """A server's refusal in words."""
    known = status in HTTPStatus._value2member_map_
    return f"the server answers {status} {HTTPStatus(status).phrase}" if known else f"the server answers {status}"


def is_of_server(address: str, reason: BaseException) -> bool:
    """Whether it is a server that fails or refuses, and no file that is missing."""
    return "://" in address and not isinstance(reason, FileNotFoundError)
