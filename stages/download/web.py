"""Fetching over HTTP: resumes partial downloads, retries transient failures, and refuses private addresses."""

from __future__ import annotations

import functools
import ipaddress
import logging
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path

import httpx

from stages.base import VideoFailed
from stages.download.fetch import Bounds, host_of, save, status_failure, with_retries
from stages.download.files import VALIDATOR_SUFFIX
from stages.media.source import MediaSource, Validators, scheme_of
from storyloom.fs.url import redacted

logging.getLogger("httpx").setLevel(logging.WARNING)  # below that it logs every URL with its query

MAX_REDIRECTS = 10
"""Our choice; browsers follow about twenty."""

HEADERS = {"User-Agent": "storyloom", "Accept": "*/*", "Accept-Encoding": "identity"}
"""No compression, so that ranges and lengths refer to the file's own bytes (RFC 9110, section 14)."""

NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that a gateway translates to the IPv4 address in their last 32 bits (RFC 6052, section 2.1)."""


def from_http(
    url: str, file: Path, bounds: Bounds, known: MediaSource | None, *, allow_private: bool
) -> Validators | None:
    """Fetch a URL into `file`, resuming an earlier attempt if the server still has the same content.

    Its validator, an ETag or a date, is stored beside it (`VALIDATOR_SUFFIX`).

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
            ``bad_certificate``, ``timeout``, ``truncated_download``, ``bad_range``, ``too_many_redirects``,
            ``too_slow``, or as `status_failure` says.
        VideoDropped: ``too_large``.
    """
    transport = CheckedTransport(allow_private=allow_private)
    with httpx.Client(transport=transport, headers=HEADERS, timeout=bounds.timeout, trust_env=False) as client:
        return with_retries(lambda: _attempt(client, url, file, bounds, known), bounds)


class CheckedTransport(httpx.HTTPTransport):
    """Resolves each request's host, refuses private addresses, and connects to the address that was checked.

    This defeats DNS rebinding, where a name resolves differently a moment later; the Host header, the TLS server name
    and the certificate check still use the name. Proxies from the environment are not used, since a proxy would
    resolve names itself.
    """

    def __init__(self, *, allow_private: bool) -> None:
        # A kept connection could be reused for another host at the same address without checking its certificate.
        super().__init__(verify=_tls(), limits=httpx.Limits(max_keepalive_connections=0))
        self._allow_private = allow_private

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the first of its host's addresses that takes the connection."""
        host = request.url.raw_host.decode("ascii")
        if not host:
            raise httpx.UnsupportedProtocol("it names no host", request=request)
        *others, last = _resolved(host)
        refused = [address for address in (*others, last) if not self._allow_private and not is_public(address)]
        if refused:
            message = f"{host} is at {refused[0]}, a private address; set download.allow_private_addresses to fetch it"
            raise VideoFailed("private_address", message)
        for address in others:
            try:
                return super().handle_request(_directed(request, host, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return super().handle_request(_directed(request, host, last))


def is_public(address: str) -> bool:
    """Whether an IP address, and any address embedded in it (IPv4-mapped, 6to4, NAT64), is public."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = embedded or ip
    return ip.is_global and not ip.is_multicast


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # reads every certificate authority: once is enough


def _resolved(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as reason:
        retryable = isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_AGAIN
        raise VideoFailed("unknown_host", f"{host} has no address: {reason}", retryable=retryable) from reason
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _directed(request: httpx.Request, host: str, address: str) -> httpx.Request:
    extensions = {**request.extensions, "sni_hostname": host}
    url = request.url.copy_with(host=address)
    return httpx.Request(request.method, url, headers=request.headers, stream=request.stream, extensions=extensions)


def _attempt(
    client: httpx.Client, url: str, file: Path, bounds: Bounds, known: MediaSource | None
) -> Validators | None:
    """One attempt; received bytes stay in `file` for the next."""
    bounds.check_time()
    validator = file.with_name(file.name + VALIDATOR_SUFFIX)
    partial = validator.read_text() if validator.exists() else ""
    have = file.stat().st_size if partial and file.exists() else 0
    headers = {"Range": f"bytes={have}-", "If-Range": partial} if have else {}
    if known and known.etag:
        headers["If-None-Match"] = known.etag
    if known and known.last_modified:
        headers["If-Modified-Since"] = known.last_modified
    with _failures_typed(url, file, bounds), _opened(client, url, headers) as response:
        if known and _unchanged(response, known):
            return None
        status = response.status_code
        if status == HTTPStatus.OK:
            start, total = 0, int(response.headers.get("Content-Length", 0))
        elif have and status == HTTPStatus.PARTIAL_CONTENT and _continues(response, have, partial):
            start, total = have, int(response.headers["Content-Range"].rpartition("/")[2])
        elif have and status in (HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
            validator.unlink()
            message = f"{host_of(url)} sent other bytes than those that were left to fetch"
            raise VideoFailed("bad_range", message, retryable=True)
        else:
            raise status_failure(status, url, _retry_after(response))
        bounds.check_size(total)
        with file.open("r+b" if start else "wb") as content:
            if not start:  # after the old bytes are gone: they must never stand beside the new validator
                validator.write_text(_validator(response))
            content.seek(start)
            size = save(response.iter_raw(), content, start, bounds)
        found = _validators(response)
    if size < total:  # a server may send less of a range than requested
        raise _truncated(url, size)
    return found


def _validators(response: httpx.Response) -> Validators:
    return Validators(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))


def _unchanged(response: httpx.Response, known: MediaSource) -> bool:
    """Whether a response shows that the known content is current (RFC 9110, section 13.2.2)."""
    if response.status_code == HTTPStatus.NOT_MODIFIED:
        return bool(known.etag or known.last_modified)
    if response.status_code != HTTPStatus.OK:
        return False
    found = _validators(response)
    for stated, had in ((found.etag, known.etag), (found.last_modified, known.last_modified)):
        if stated and had:
            return stated == had
    return str(response.headers.get("Content-Length", "")) == str(known.size)


def _validator(response: httpx.Response) -> str:
    """The strong validator of the content: a strong ETag or a date (RFC 9110, section 13.1.5); empty without one."""
    etag = str(response.headers.get("ETag", ""))
    return etag if etag.startswith('"') else str(response.headers.get("Last-Modified", ""))


def _continues(response: httpx.Response, have: int, known: str) -> bool:
    """Whether a partial response continues the existing bytes, of the same content."""
    in_place = re.fullmatch(rf"bytes {have}-\d+/\d+", response.headers.get("Content-Range", ""))
    return in_place is not None and _validator(response) in ("", known)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds of the Retry-After header, which may be a date (RFC 9110, section 10.2.3)."""
    stated = response.headers.get("Retry-After", "")
    if stated.isdecimal():
        return float(stated)
    try:
        return max(0.0, (parsedate_to_datetime(stated) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):  # no date, or one without a time zone
        return None


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
    except httpx.TimeoutException as reason:
        message = f"{host_of(url)} was silent for {bounds.timeout:g} s (download.timeout)"
        raise VideoFailed("timeout", message, retryable=True) from reason
    except (httpx.RemoteProtocolError, httpx.ReadError) as reason:
        size = file.stat().st_size if file.exists() else 0
        raise _truncated(url, size) if size else _no_connection(url, reason) from reason
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as reason:
        raise VideoFailed("bad_url", f"{redacted(url)} is not a URL that can be fetched: {reason}") from reason
    except httpx.TransportError as reason:
        if "CERTIFICATE_VERIFY_FAILED" in str(reason):
            raise VideoFailed("bad_certificate", f"{host_of(url)} did not prove who it is: {reason}") from reason
        raise _no_connection(url, reason) from reason


def _truncated(url: str, size: int) -> VideoFailed:
    return VideoFailed("truncated_download", f"{redacted(url)} broke off after {size} bytes", retryable=True)


def _no_connection(url: str, reason: Exception) -> VideoFailed:
    return VideoFailed("connection_failed", f"no connection to {host_of(url)}: {reason}", retryable=True)
