"""A real HTTP server on this machine that serves one file and misbehaves as the path says."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import re
import ssl
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa

PAGE = b"<!DOCTYPE html><html><head><title>Sorry</title></head><body>Nothing here.</body></html>"


def _raw(body: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(body) + deflater.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "raw": _raw,
    "br": lambda body: pa.compress(body, "brotli", asbytes=True),
    "zstd": lambda body: pa.compress(body, "zstd", asbytes=True),
    "identity": lambda body: body,
}


@dataclass(frozen=True)
class Request:
    """What a client asked for: the path, and headers where it sent them."""

    path: str
    host: str | None
    range: str | None
    if_range: str | None
    if_none_match: str | None
    if_modified_since: str | None
    authorization: str | None
    cookie: str | None


class Server(ThreadingHTTPServer):
    """Serves `content`.

    Attributes:
        content: The file's bytes; a test may replace them.
        requests: In order.
        sent: Bytes of all bodies but error pages.
        most_at_once: Largest number of requests for ``slow`` that were worked on at the same time.
        released: Set by a test to let stalled answers end.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.requests: list[Request] = []
        self.sent = 0
        self.most_at_once = 0
        self.released = threading.Event()
        self._running = 0
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a request among those that run; to be left before the answer, after which the client sends the next."""
        with self._lock:
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def noted(self, path: str, headers: Message) -> int:
        """Remember a request; how many came for the path before."""
        with self._lock:
            names = ("Host", "Range", "If-Range", "If-None-Match", "If-Modified-Since", "Authorization", "Cookie")
            self.requests.append(Request(path, *(headers[name] for name in names)))
            self._seen[path] += 1
            return self._seen[path] - 1

    def ranges(self, path: str) -> list[str | None]:
        return [seen.range for seen in self.requests if seen.path == f"/{path}"]


class Handler(BaseHTTPRequestHandler):
    """One method a path: ``/cut_once.mp4`` is answered by `cut_once`."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        name = re.sub(r"\W.*", "", self.path.lstrip("/"))
        before = self.server.noted(self.path, self.headers)
        self.close_connection = True
        answer = getattr(self, f"answer_{name}", None)
        if answer is None:
            self.status(404)
        else:
            answer(before)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def status(self, code: int, **headers: str) -> None:
        self.send(PAGE, code, length=None, **headers)

    def send(self, body: bytes, code: int = 200, *, length: int | None = None, **headers: str) -> None:
        """Answer with a body; a `length` beyond it makes the connection end too early."""
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if code != HTTPStatus.NOT_MODIFIED:
            self.server.sent += 0 if body is PAGE else len(body)
            self.wfile.write(body)

    def send_range(self, etag: str, upto: int | None = None) -> None:
        """The content from where the Range header says, if If-Range allows, and only `upto` bytes of it.

        Nothing to whoever has it already (If-None-Match).
        """
        content = self.server.content
        wanted = re.match(r"bytes=(\d+)-", self.headers["Range"] or "")
        if self.headers["If-None-Match"] == etag:
            self.status(304, ETag=etag)
        elif wanted and self.headers["If-Range"] in (None, etag):
            start = int(wanted[1])
            stated = f"bytes {start}-{len(content) - 1}/{len(content)}"
            rest = content[start:]
            self.send(rest[:upto], 206, length=len(rest), ETag=etag, Content_Range=stated)
        else:
            self.send(content[:upto], length=len(content), ETag=etag)

    @property
    def half(self) -> int:
        return len(self.server.content) // 2

    def answer_good(self, before: int) -> None:
        self.send_range('"v1"')

    def answer_cut_once(self, before: int) -> None:
        self.send_range('"v1"', self.half if before == 0 else None)

    def answer_cut_always(self, before: int) -> None:
        self.send_range('"v1"', 1000)

    def answer_cut_three_times(self, before: int) -> None:
        self.send_range('"v1"', 1000 if before < 3 else None)

    def answer_no_range(self, before: int) -> None:
        """Says what it has, but always starts anew."""
        content = self.server.content
        self.send(content if before else content[: self.half], length=len(content), ETag='"v1"')

    def answer_no_validator(self, before: int) -> None:
        content = self.server.content
        self.send(content if before else content[: self.half], length=len(content))

    def answer_changed(self, before: int) -> None:
        """Another content, cut off, then the one that stays."""
        if before == 0:
            self.send(b"\0" * self.half, length=len(self.server.content), ETag='"v0"')
        else:
            self.send_range('"v1"')

    def answer_ignores_if_range(self, before: int) -> None:
        """As `answer_changed`, but a range of the new content is sent to whoever has the old one."""
        if before == 0:
            self.send(b"\0" * self.half, length=len(self.server.content), ETag='"v0"')
            return
        if self.headers["If-Range"]:
            del self.headers["If-Range"]
        self.send_range('"v1"')

    def answer_range_refused(self, before: int) -> None:
        if self.headers["Range"]:
            self.status(416)
        else:
            self.answer_cut_once(before)

    def answer_rate_limited_once(self, before: int) -> None:
        self.send_range('"v1"') if before else self.status(429, Retry_After="0")

    def answer_rate_limited_until_2015(self, before: int) -> None:
        self.send_range('"v1"') if before else self.status(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")

    def answer_rate_limited_for_a_day(self, before: int) -> None:
        self.status(429, Retry_After="86400")

    def answer_error_once(self, before: int) -> None:
        self.send_range('"v1"') if before else self.status(500)

    def answer_error_always(self, before: int) -> None:
        self.status(503)

    def answer_gone(self, before: int) -> None:
        self.status(410)

    def answer_forbidden(self, before: int) -> None:
        self.status(403)

    def answer_teapot(self, before: int) -> None:
        self.status(418)

    def answer_page(self, before: int) -> None:
        self.send(PAGE, Content_Type="text/html")

    @property
    def etag(self) -> str:
        """That of the content which is served now."""
        return f'"{hashlib.sha256(self.server.content).hexdigest()}"'

    def answer_tagged(self, before: int) -> None:
        self.send_range(self.etag)

    def answer_tagged_unconditional(self, before: int) -> None:
        """Sends all of it whatever the client has."""
        self.send(self.server.content, ETag=self.etag)

    def answer_dated(self, before: int) -> None:
        """No ETag; the date changes with the length, a second a byte."""
        date = formatdate(len(self.server.content), usegmt=True)
        if self.headers["If-Modified-Since"] == date:
            self.status(304, Last_Modified=date)
        else:
            self.send(self.server.content, Last_Modified=date)

    def answer_plain(self, before: int) -> None:
        """Nothing that tells one content from the next, except its length."""
        self.send(self.server.content)

    def answer_expires(self, before: int) -> None:
        """A signed URL that is good once."""
        self.send_range(self.etag) if before == 0 else self.status(403)

    def answer_page_later(self, before: int) -> None:
        self.send_range(self.etag) if before == 0 else self.answer_page(before)

    def answer_error_later(self, before: int) -> None:
        self.send_range(self.etag) if before == 0 else self.status(503)

    def answer_cut_later(self, before: int) -> None:
        self.send_range(self.etag, None if before == 0 else 1000)

    def answer_empty(self, before: int) -> None:
        self.send(b"")

    def answer_watch(self, before: int) -> None:
        """A site's page with a video on it."""
        page = b'<html><head><title>A talk</title></head><body><video src="/good.mp4"></video></body></html>'
        self.send(page, Content_Type="text/html")

    def answer_redirect(self, before: int) -> None:
        """To what follows the question mark."""
        self.status(302, Location=self.path.partition("?")[2])

    def answer_loop(self, before: int) -> None:
        self.status(301, Location=self.path)

    def answer_endless(self, before: int) -> None:
        """No length, and more than the file has."""
        self.send_response(200)
        self.end_headers()
        try:
            while not self.server.released.is_set():
                self.wfile.write(b"\0" * 65536)
        except OSError:
            pass  # the client had enough

    def answer_trickles(self, before: int) -> None:
        """A hundred bytes at a time, and never all of them."""
        self.send_response(200)
        self.send_header("ETag", '"v1"')
        self.send_header("Content-Length", str(10**9))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client had enough
            while not self.server.released.wait(0.05):
                self.wfile.write(b"\0" * 100)

    def say(self, *lines: str, body: bytes = b"") -> None:
        """A head and a body as they are, whatever HTTP says of them."""
        with contextlib.suppress(OSError):  # the client had enough
            self.wfile.write("".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" * bool(lines) + body)

    def drip(self, drop: bytes, every: float = 0.02) -> None:
        """The same few bytes for ever."""
        with contextlib.suppress(OSError):
            while not self.server.released.wait(every):
                self.wfile.write(drop)

    def answer_drips_status(self, before: int) -> None:
        self.drip(b"H")

    def answer_drips_header(self, before: int) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        self.drip(b"a")

    def answer_drips_chunk_header(self, before: int) -> None:
        self.say("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"5;x=")
        self.drip(b"a")

    def answer_drips_trailers(self, before: int) -> None:
        self.say("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"5\r\nvideo\r\n0\r\n")
        self.drip(b"X: a\r\n")

    def answer_drips_hints(self, before: int) -> None:
        self.drip(b"HTTP/1.1 103 Early Hints\r\n\r\n")

    def answer_floods_hints(self, before: int) -> None:
        self.drip(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000, every=0.0)

    def answer_no_http(self, before: int) -> None:
        """As HTTP/0.9 did: the body alone."""
        self.say(body=self.server.content)

    def answer_garbage(self, before: int) -> None:
        self.say("SSH-2.0-OpenSSH_9.6")

    def answer_status_of_two_digits(self, before: int) -> None:
        self.say("HTTP/1.1 20 OK", "Content-Length: 0")

    def answer_switches(self, before: int) -> None:
        self.say("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", body=b"video")

    def answer_long_header(self, before: int) -> None:
        self.say("HTTP/1.1 200 OK", "X-Long: " + "a" * 300_000, "Content-Length: 0")

    def answer_lengths_differ(self, before: int) -> None:
        self.say("HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 6", body=b"videos")

    def answer_length_negative(self, before: int) -> None:
        self.say("HTTP/1.1 200 OK", "Content-Length: -5", body=b"video")

    def answer_length_endless(self, before: int) -> None:
        self.say("HTTP/1.1 200 OK", "Content-Length: " + "9" * 5000, body=b"video")

    def answer_length_and_chunks(self, before: int) -> None:
        """Chunks count (RFC 9112, section 6.3)."""
        chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(self.server.content), self.server.content)
        self.say("HTTP/1.1 200 OK", f"Content-Length: {10**9}", "Transfer-Encoding: chunked", body=chunk)

    def cut_then_range(self, before: int, stated: str, etag: str = '"v1"', **headers: str) -> None:
        """Half, then the other half with this Content-Range to whoever asks for it; all of it to others."""
        content = self.server.content
        if before == 0:
            self.send(content[: self.half], length=len(content), ETag=etag)
        elif self.headers["Range"]:
            self.send(content[self.half :], 206, length=None, ETag=etag, Content_Range=stated, **headers)
        else:
            self.send(content, ETag=etag)

    def answer_mixes(self, before: int) -> None:
        """Half, and to whoever asks for it the other half of something else.

        After the question mark: what is stated with the first, and with the second (``longer``: another total).
        """
        content = self.server.content
        first, second = (part.split("+") for part in self.path.partition("?")[2].split(","))
        if before == 0:
            self.send(content[: self.half], 200, length=len(content), **self.stated(first))
        elif self.headers["Range"]:
            size = len(content) + ("longer" in second)
            place = f"bytes {self.half}-{size - 1}/{size}"
            self.send(bytes(size - self.half), 206, length=None, Content_Range=place, **self.stated(second))
        else:
            self.send(content, 200, length=None, **self.stated(first))

    def stated(self, names: list[str]) -> dict[str, str]:
        """Headers of these names."""
        headers = {
            "strong": ("ETag", '"v1"'),
            "weak": ("ETag", 'W/"v1"'),
            "weak2": ("ETag", 'W/"v2"'),
            "dated": ("Last-Modified", formatdate(0, usegmt=True)),
            "dated2": ("Last-Modified", formatdate(86400, usegmt=True)),
        }
        return dict(headers[name] for name in names if name in headers)

    def answer_range_of_many_digits(self, before: int) -> None:
        self.cut_then_range(before, f"bytes {self.half}-{'9' * 5000}/{'9' * 5000}")

    def answer_range_of_unknown_size(self, before: int) -> None:
        self.cut_then_range(before, f"bytes {self.half}-{len(self.server.content) - 1}/*")

    def answer_range_of_something_longer(self, before: int) -> None:
        """More bytes than the size that it states."""
        self.cut_then_range(before, f"bytes {self.half}-{self.half + 9}/{self.half + 10}")

    def answer_range_encoded(self, before: int) -> None:
        end = len(self.server.content)
        self.cut_then_range(before, f"bytes {self.half}-{end - 1}/{end}", Content_Encoding="gzip")

    def answer_range_multipart(self, before: int) -> None:
        self.cut_then_range(before, "", Content_Type="multipart/byteranges; boundary=B")

    def answer_etag_beyond_ascii(self, before: int) -> None:
        end = len(self.server.content)
        self.cut_then_range(before, f"bytes {self.half}-{end - 1}/{end}", '"\xe9t\xe9"')

    def answer_all_as_a_part(self, before: int) -> None:
        end = len(self.server.content)
        self.send(self.server.content, 206, Content_Range=f"bytes 0-{end - 1}/{end}")

    def answer_all_and_more_as_a_part(self, before: int) -> None:
        self.send(self.server.content, 206, Content_Range="bytes 0-9/10")

    def answer_a_part(self, before: int) -> None:
        end = len(self.server.content)
        self.send(self.server.content[:1000], 206, Content_Range=f"bytes 0-999/{end}")

    def answer_a_part_without_range(self, before: int) -> None:
        self.send(self.server.content, 206)

    def answer_encoded(self, before: int) -> None:
        """In the codings after the question mark, whatever was asked."""
        codings = self.path.partition("?")[2]
        body = self.server.content
        for coding in codings.split(","):
            body = ENCODERS[coding](body)
        self.send(body, Content_Encoding=codings.replace("raw", "deflate"), ETag='"e1"')

    def answer_encoded_cut_once(self, before: int) -> None:
        body = gzip.compress(self.server.content)
        self.send(body if before else body[:2000], length=len(body), Content_Encoding="gzip", ETag='"e1"')

    def answer_encoded_and_cut(self, before: int) -> None:
        """Once; the body, whose length is not stated, breaks off."""
        coding = self.path.partition("?")[2]
        body = ENCODERS[coding](self.server.content)
        self.say("HTTP/1.1 200 OK", f"Content-Encoding: {coding}", body=body if before else body[:-5])

    def answer_encoded_padded(self, before: int) -> None:
        self.send(gzip.compress(self.server.content) + bytes(512), Content_Encoding="gzip")

    def answer_of_a_proxy(self, before: int) -> None:
        self.send(self.server.content, 203)

    def answer_transfer(self, before: int) -> None:
        """In the transfer coding after the question mark."""
        self.say("HTTP/1.1 200 OK", f"Transfer-Encoding: {self.path.partition('?')[2]}", body=self.server.content)

    def answer_encoded_never(self, before: int) -> None:
        """In no coding, or not in the one that the header says."""
        self.send(self.server.content, Content_Encoding=self.path.partition("?")[2])

    def answer_retry_after(self, before: int) -> None:
        """Once; in the words after the question mark."""
        words = self.path.partition("?")[2].replace("_", " ")
        self.status(429, Retry_After=words) if before == 0 else self.send_range('"v1"')

    def answer_cookie(self, before: int) -> None:
        """A cookie, and a redirect to what follows the question mark."""
        self.status(302, Location=self.path.partition("?")[2], Set_Cookie="secret=1; Path=/")

    def do_HEAD(self) -> None:
        """An object of a store: S3's clients ask for its size and tag first."""
        self.do_GET()

    def answer_bucket(self, before: int) -> None:
        """An object of a store, or a range of it."""
        content = self.server.content
        wanted = re.match(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        first, last = (int(wanted[1]), int(wanted[2] or len(content) - 1)) if wanted else (0, len(content) - 1)
        body = content[first : last + 1]
        self.send_response(206 if wanted else 200)
        for key, value in {"Content-Length": str(len(body)), "ETag": self.etag, "Last-Modified": formatdate(0)}.items():
            self.send_header(key, value)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def answer_bucket_silent_once(self, before: int) -> None:
        if before == 0:
            self.server.released.wait(60)
        else:
            self.answer_bucket(before)

    def answer_slow_bucket(self, before: int) -> None:
        """An object whose bytes come one at a time."""
        content = self.server.content
        self.send(b"", length=len(content), ETag=self.etag, Last_Modified=formatdate(0))
        if self.command == "GET":
            self.drip(b"v")

    def answer_slow(self, before: int) -> None:
        with self.server.counted():
            time.sleep(0.1)
        self.send(PAGE)

    def answer_stalls_once(self, before: int) -> None:
        if before:
            self.send_range('"v1"')
            return
        self.send_range('"v1"', self.half)
        self.server.released.wait(60)

    def answer_stalls_always(self, before: int) -> None:
        self.server.released.wait(60)


@contextmanager
def serving(content: bytes, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server in a thread of its own, gone with the block."""
    with Server(content) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()
