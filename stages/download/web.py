"""Fetching over HTTP: resumes partial downloads, retries transient failures, and refuses private addresses."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import httpcore
import httpx

from stages.base import VideoFailed
from stages.download.encodings import codings_of, decoded
from stages.download.fetch import Bounds, host_of, save, status_failure, with_retries
from stages.download.files import VALIDATOR_SUFFIX
from stages.download.transport import CheckedTransport
from stages.media.source import MediaSource, Validators
from stages.turns import retry_after
from storyloom.fs.url import redacted, scheme_of

logging.getLogger("httpx").setLevel(logging.WARNING)  # below that it logs every URL with its query

MAX_REDIRECTS = 10
"""Our choice; browsers follow about twenty."""

HEADERS = {"User-Agent": "storyloom", "Accept": "*/*", "Accept-Encoding": "identity"}
"""No compression, so that ranges and lengths refer to the file's own bytes (RFC 9110, section 14)."""

WHOLE = (HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION)
"""Statuses of a body that is the content; the second is a proxy's (RFC 9110, section 15.3.4)."""

MAX_VALIDATOR = 1024
"""Most characters of an ETag or a date (our choice)."""

DIGITS = "[0-9]{1,18}"
"""A number of bytes in a header, as a pattern: what fits into 64 bits."""


@dataclass(frozen=True)
class _Content:
    """What a server said of a content, of which a part may be there.

    Attributes:
        validators: As stated.
        total: Its bytes; 0 if unknown.
    """

    validators: Validators = field(default_factory=Validators)
    total: int = 0

    @property
    def strong(self) -> str:
        """The strong validator: a strong ETag or a date (RFC 9110, section 13.1.5); empty without one."""
        etag, date = self.validators.etag, self.validators.last_modified
        return etag if etag.startswith('"') else date

    def goes_on_in(self, other: _Content) -> bool:
        """Whether a range of the other is shown to be of this: it must repeat the ETag (RFC 9110, section 15.3.7).

        A date may be left out beside a strong ETag, but no other one may be stated.
        """
        had, stated = self.validators, other.validators
        date = stated.last_modified
        same_date = date == had.last_modified or (not date and self.strong == had.etag)
        return stated.etag == had.etag and same_date and self.total in (0, other.total)

    def keep(self, file: Path) -> None:
        """Write it to a file, which is empty where there is no strong validator."""
        lines = (self.validators.etag, self.validators.last_modified, str(self.total))
        file.write_text("\n".join(lines) if self.strong else "")

    @staticmethod
    def kept(file: Path) -> _Content:
        """What `keep` wrote; nothing where that is missing."""
        lines = file.read_text(errors="replace").split("\n") if file.exists() else []
        etag, date, total = (*lines, "", "", "")[:3]
        return _Content(Validators(_sendable(etag), _sendable(date)), _number(total))


def from_http(
    url: str, file: Path, bounds: Bounds, known: MediaSource | None, *, allow_private: bool
) -> Validators | None:
    """Fetch a URL into `file`, resuming an earlier attempt if the server still has the same content.

    What was said of it is stored beside it (`VALIDATOR_SUFFIX`).

    Args:
        url: Of the file.
        file: File for its content.
        bounds: Limits of the fetch.
        known: The content from an earlier run as it was at this URL; without validators, its size is compared.
        allow_private: Whether private addresses are allowed.

    Returns:
        Validators of the content; None when it is the known one, which is then not fetched.

    Raises:
        VideoFailed: ``bad_url``, ``scheme_refused``, ``private_address``, ``unknown_host``, ``connection_failed``,
            ``bad_certificate``, ``timeout``, ``truncated_download``, ``bad_range``, ``bad_encoding``,
            ``too_many_redirects``, ``too_slow``, or as `status_failure` says.
        VideoDropped: ``too_large``.
    """
    transport = CheckedTransport(bounds, allow_private=allow_private)
    with httpx.Client(transport=transport, headers=HEADERS, timeout=bounds.timeout, trust_env=False) as client:
        return with_retries(lambda: _attempt(client, url, file, bounds, known), bounds)


def _attempt(
    client: httpx.Client, url: str, file: Path, bounds: Bounds, known: MediaSource | None
) -> Validators | None:
    """One attempt; received bytes stay in `file` for the next."""
    bounds.check_time()
    validator = file.with_name(file.name + VALIDATOR_SUFFIX)
    partial = _Content.kept(validator)
    have = file.stat().st_size if partial.strong and file.exists() else 0
    headers = {"Range": f"bytes={have}-", "If-Range": partial.strong} if have else {}
    if known and _sendable(known.etag):
        headers["If-None-Match"] = known.etag
    if known and _sendable(known.last_modified):
        headers["If-Modified-Since"] = known.last_modified
    with _failures_typed(url, file, bounds), _opened(client, url, headers) as response:
        if known and _unchanged(response, known):
            return None
        start, total = _placed(response, url, have, partial, validator)
        codings = codings_of(response.headers.get("Content-Encoding", ""))
        bounds.check_size(total)
        with file.open("r+b" if start else "wb") as content:
            if not start:  # after the old bytes are gone: they must never stand beside the new validator
                # What was decoded has other offsets than the server's ranges: it cannot be resumed.
                (_Content() if codings else _Content(_validators(response), total)).keep(validator)
            content.seek(start)
            size = save(decoded(response.iter_raw(), codings, bounds), content, start, bounds)
        found = _validators(response)
    if total and not codings:
        if size < total:  # a server may send less of a range than requested
            raise _truncated(url, size)
        if size > total:
            raise _other_bytes(url, validator)
    return found


def _placed(response: httpx.Response, url: str, have: int, partial: _Content, validator: Path) -> tuple[int, int]:
    """Where the body's bytes belong in the file, and the file's size (0 if unknown).

    Args:
        response: With a body, or a failure.
        url: Of the file.
        have: Bytes that are there; as many were asked not to be sent.
        partial: What was said of them.
        validator: File with that.

    Raises:
        VideoFailed: ``bad_range``, or as `status_failure` says.
    """
    status = response.status_code
    if status in WHOLE:
        return 0, 0 if "Transfer-Encoding" in response.headers else _number(response.headers.get("Content-Length", ""))
    if status == HTTPStatus.PARTIAL_CONTENT:
        first, last, total = _content_range(response)
        if (first, last + 1) == (0, total):  # all of it, asked for or not
            return 0, total
        encoded = codings_of(response.headers.get("Content-Encoding", ""))
        if have and first == have and not encoded and partial.goes_on_in(_Content(_validators(response), total)):
            return have, total
    if status == HTTPStatus.PARTIAL_CONTENT or (have and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
        raise _other_bytes(url, validator)
    raise status_failure(status, url, retry_after(response.headers))


def _other_bytes(url: str, validator: Path) -> VideoFailed:
    """The failure of a server that sent another range; the next attempt starts anew."""
    validator.unlink(missing_ok=True)
    return VideoFailed("bad_range", f"{host_of(url)} sent other bytes than those that were asked for", retryable=True)


def _content_range(response: httpx.Response) -> tuple[int, int, int]:
    """First and last byte, and size of the whole (RFC 9110, section 14.4); -1 for what is not stated."""
    stated = re.fullmatch(rf"bytes ({DIGITS})-({DIGITS})/({DIGITS})", response.headers.get("Content-Range", ""))
    return (int(stated[1]), int(stated[2]), int(stated[3])) if stated else (-1, -1, -1)


def _number(stated: str) -> int:
    """The number of a header; 0 for anything else."""
    return int(stated) if re.fullmatch(DIGITS, stated) else 0


def _sendable(validator: str) -> str:
    """A validator that can be sent back as it came; empty for one with characters that HTTP only tolerates."""
    return validator if re.fullmatch(rf"[\x20-\x7e]{{0,{MAX_VALIDATOR}}}", validator) else ""


def _validators(response: httpx.Response) -> Validators:
    headers = response.headers
    return Validators(_sendable(headers.get("ETag", "")), _sendable(headers.get("Last-Modified", "")))


def _unchanged(response: httpx.Response, known: MediaSource) -> bool:
    """Whether a response shows that the known content is current (RFC 9110, section 13.2.2)."""
    if response.status_code == HTTPStatus.NOT_MODIFIED:
        return bool(known.etag or known.last_modified)
    if response.status_code not in WHOLE:
        return False
    found = _validators(response)
    for stated, had in ((found.etag, known.etag), (found.last_modified, known.last_modified)):
        if stated and had:
            return stated == had
    encoded = "Content-Encoding" in response.headers  # then the length is that of something else
    return not encoded and str(response.headers.get("Content-Length", "")) == str(known.size)


@contextmanager
def _opened(client: httpx.Client, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    """The response after all redirects, each of which goes through `CheckedTransport` as the first request does."""
    for _ in range(MAX_REDIRECTS + 1):
        if scheme_of(url) not in ("http", "https"):
            raise VideoFailed("scheme_refused", f"redirected to {redacted(url)}, which is no http(s) URL")
        with client.stream("GET", url, headers=headers) as response:
            if not response.has_redirect_location:
                yield response
                return
            url = str(response.url.join(response.headers["Location"]))
    raise VideoFailed("too_many_redirects", f"redirected over {MAX_REDIRECTS} times, at last to {redacted(url)}")


@contextmanager
def _failures_typed(url: str, file: Path, bounds: Bounds) -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as reason:
        message = f"{host_of(url)} was silent for {bounds.timeout:g} s (download.timeout)"
        raise VideoFailed("timeout", message, retryable=True) from reason
    except (httpcore.ProtocolError, httpcore.NetworkError) as reason:
        if "CERTIFICATE_VERIFY_FAILED" in str(reason):
            raise VideoFailed("bad_certificate", f"{host_of(url)} did not prove who it is: {reason}") from reason
        if "Transfer-Encoding" in str(reason):  # h11's words for any but chunked
            raise VideoFailed("bad_encoding", f"{host_of(url)} sends in an odd coding: {reason}") from reason
        size = file.stat().st_size if file.exists() else 0
        broke_off = size and not isinstance(reason, httpcore.ConnectError)
        raise _truncated(url, size) if broke_off else _no_answer(url, reason) from reason
    except (httpx.InvalidURL, httpx.TransportError, UnicodeError) as reason:  # UnicodeError: a host that IDNA refuses
        raise VideoFailed("bad_url", f"{redacted(url)} is not a URL that can be fetched: {reason}") from reason


def _truncated(url: str, size: int) -> VideoFailed:
    return VideoFailed("truncated_download", f"{redacted(url)} broke off after {size} bytes", retryable=True)


def _no_answer(url: str, reason: Exception) -> VideoFailed:
    return VideoFailed("connection_failed", f"no answer from {host_of(url)}: {reason}", retryable=True)
