"""Joining or starting a Ray cluster; Ray's output goes to its own log files."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from storyloom.errors import RunFailed

CLIENT_ATTEMPTS = 3
"""Attempts to join a cluster as a client (our choice)."""

LOGS_ELSEWHERE = "/tmp/ray/session_latest/logs on the cluster's head node"  # noqa: S108 - Ray's place
"""Location of the logs of a remote cluster."""


@contextlib.contextmanager
def ray_session(address: str) -> Iterator[str]:
    """Join the cluster at an address, or start one here, and leave it at the end; yields the location of its logs.

    Args:
        address: As `ray.init` takes it; empty starts a cluster of this machine.

    Raises:
        RunFailed: No cluster answers at the address.
    """
    # Under `uv run`, Ray would start each worker with `uv run` in a copy of this folder without an environment.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    # Ray's core logs to the terminal past Python; the setting itself is announced there too.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    address = address or os.environ.get("RAY_ADDRESS", "")
    with _stderr_held_back():
        import ray  # first: where the extra is missing, the error names Ray
        import ray.data  # it prints as well
        from tenacity import retry, retry_if_exception_type, stop_after_attempt

        # The server that a head starts for a client may die in its fork: a retry starts another.
        stop = stop_after_attempt(CLIENT_ATTEMPTS if address.startswith("ray://") else 1)
        patiently = retry(retry=retry_if_exception_type(ConnectionError), stop=stop, reraise=True)
        try:
            joined = patiently(ray.init)(
                address=address or "local",
                runtime_env=_code() if address else None,
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                ignore_reinit_error=True,
            )
        except Exception as reason:  # Ray raises plain ones: a node that starts too slowly, a port that is taken
            where = f"joined at {address!r}" if address else "started on this machine"
            raise RunFailed(f"no Ray cluster could be {where}: {reason}{_token_hint(address)}") from reason
    session = getattr(joined, "address_info", {}).get("session_dir")
    try:
        yield str(Path(session, "logs")) if session else LOGS_ELSEWHERE
    finally:
        ray.shutdown()


def _token_hint(address: str) -> str:
    """What a missing token may have to do with a cluster that was not joined; Ray only says that it timed out."""
    if not address:
        return ""
    given = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        state = "RAY_AUTH_MODE=token is not set here"
    elif not given and not Path("~/.ray/auth_token").expanduser().is_file():
        state = "there is no token here"
    else:
        state = "the token that is set here may be another one"
    return (
        f". If the cluster asks for a token ({state}): set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what its nodes"
        " have"
    )


def _code() -> dict[str, Any] | None:
    """The runtime environment with this code; None for a submitted job, whose working folder contains it."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return None
    here = Path(__file__).parents[2]
    return {"py_modules": [str(here / package) for package in ("pipeline", "stages", "schemas", "storyloom")]}


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Redirect standard error of the process, native code included, to the null device during a block."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)
