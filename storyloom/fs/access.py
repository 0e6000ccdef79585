"""Stores that strangers' URLs name, opened with the credentials that are configured, not with the machine's own."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

OF_INSTANCES = ("container-role", "iam-role")
"""botocore's providers that ask the machine's metadata service."""


@functools.cache
def filesystem(scheme: str, timeout: float, *, instance_credentials: bool) -> Any:
    """Fsspec's file system of a scheme.

    Args:
        scheme: Of URLs.
        timeout: Seconds without data after which a connection is closed, where the store's package can be told.
        instance_credentials: Whether the machine's metadata service may be asked for credentials.

    Raises:
        ImportError: It needs a package that is not there.
        Exception: Whatever the package raises where it is not set up.
    """
    import fsspec

    # Not url_to_fs: a chain such as zip://…::http://… must not be followed, nor a host in the URL connected to.
    options = {} if instance_credentials else _without_instance(scheme)
    # What a listing said before may be out of date.
    return fsspec.filesystem(scheme, use_listings_cache=False, **options, **_patience(scheme, timeout))


def _patience(scheme: str, timeout: float) -> dict[str, Any]:
    """Options that have S3's package close a connection after so many seconds without data; others' have none."""
    from fsspec.config import conf

    if scheme not in ("s3", "s3a"):
        return {}
    configured = conf.get(scheme, {}).get("config_kwargs", {})
    return {"config_kwargs": {"connect_timeout": timeout, "read_timeout": timeout, **configured}}


def _without_instance(scheme: str) -> dict[str, Any]:
    """Options that keep a store's package from the metadata service; without credentials it reads what is public.

    Other packages than S3's and Google's ask for them only where they are configured to.
    """
    from fsspec.config import conf

    if scheme in ("s3", "s3a"):
        if not {"key", "anon", "session"} & conf.get(scheme, {}).keys():
            return _without_instance_of_s3()
    elif scheme in ("gs", "gcs") and "token" not in conf.get(scheme, {}):
        named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")
        kept = Path(os.environ.get("CLOUDSDK_CONFIG", "~/.config/gcloud"), "application_default_credentials.json")
        return {"token": "google_default" if named or kept.expanduser().exists() else "anon"}
    return {}


def _without_instance_of_s3() -> dict[str, Any]:
    import s3fs  # noqa: F401 - ImportError names it, rather than what it needs
    from aiobotocore.session import AioSession
    from botocore.session import Session

    session, looked = AioSession(), Session()
    for one in (session, looked):
        for provider in OF_INSTANCES:
            one.get_component("credential_provider").remove(provider)
    return {"session": session, "anon": looked.get_credentials() is None}
