"""What a user is told of a Ray cluster that could not be joined."""

from pathlib import Path

import pytest

from pipeline.executors.ray_session import _token_hint


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "RAY_AUTH_MODE=token is not set here"),
        ({"RAY_AUTH_MODE": "token"}, "there is no token here"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "x"}, "may be another one"),
    ],
)
def test_a_token_that_may_be_missing_is_named(
    environment: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert said in _token_hint("ray://head:10001")
    assert _token_hint("") == ""
