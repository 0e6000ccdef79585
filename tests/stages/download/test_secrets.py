"""No message of a failed download says what only the owner of a URL may know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.base import Video, VideoFailed
from tests.downloads import CONTENT, outcome, stage, video
from tests.http_server import Server, serving

SECRETS = ("s3cr3t-user", "s3cr3t-pass", "s3cr3t-word", "s3cr3t-sign", "s3cr3t-mark")


def secret(path: str, scheme: str = "http") -> str:
    return f"{scheme}://s3cr3t-user:s3cr3t-pass%2Fs3cr3t-word@{path}?X-Signature=s3cr3t-sign#s3cr3t-mark"


def on(server: Server, path: str) -> str:
    return secret(f"127.0.0.1:{server.server_port}/{path}")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        *[
            (lambda server, path=path: on(server, path), code)
            for path, code in (
                ("gone", "not_found"),
                ("forbidden", "forbidden"),
                ("teapot", "http_status"),
                ("error_always", "server_error"),
                ("cut_always", "truncated_download"),
                ("loop", "too_many_redirects"),
                ("page", "not_media"),
            )
        ],
        (lambda _: secret("127.0.0.1:1/a.mp4"), "connection_failed"),
        (lambda _: secret("no.such.host.invalid/a.mp4"), "unknown_host"),
        (lambda _: secret("[::1/a.mp4"), "bad_url"),
        (lambda _: secret("host:s3cr3t-mark/a.mp4"), "bad_url"),
        (lambda _: secret("/a.mp4"), "bad_url"),
        (lambda _: secret("host/a.mp4", "ftp"), "scheme_refused"),
        (lambda _: secret("other.machine/a.mp4", "file"), "bad_url"),
        (lambda _: "simplecache::" + secret("host/a.mp4"), "not_found"),
    ],
)
def test_no_message_holds_a_secret_of_the_url(url: Callable[[Server], str], code: str, tmp_path: Path) -> None:
    with serving(CONTENT[:100_000]) as server:
        (row,) = stage(tmp_path, allow_private_addresses=True, attempts=2).process([video(url(server), "id")])
    assert outcome(row) == code  # type: ignore[arg-type]
    assert row.error is not None
    assert [one for one in SECRETS if one in row.error.message] == []


def test_what_another_package_says_of_the_url_is_no_exception(tmp_path: Path) -> None:
    def fail(_: Video) -> Any:
        raise VideoFailed("storage_error", "OSError: no X-Signature=s3cr3t-sign; s3cr3t-pass/s3cr3t-word is denied")

    row = stage(tmp_path).guarded(video(secret("host/a.mp4"), "id"), fail)
    assert row.error is not None
    assert row.error.message == "OSError: no …; … is denied"
