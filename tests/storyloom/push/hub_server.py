"""A server on this machine that speaks what huggingface_hub asks of the Hub for a push, after that client's code.

The endpoints are those of `HfApi.dataset_info`, `list_repo_tree`, `create_repo` and `create_commit`: preupload, the
batch API of git LFS, uploads in one part, verification, and a commit as lines of JSON.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_thisMustNeverBePrinted"

REGULAR = 100_000
"""Bytes from which a file is LFS's; shards are, always."""


@dataclass
class Repository:
    """What the server holds of a dataset.

    Attributes:
        files: Content by path.
        large: Paths of files that are LFS's.
        commits: Paths added and removed by each commit.
        private: As it was made.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    commits: list[tuple[list[str], list[str]]] = field(default_factory=list)
    private: bool = False

    @property
    def head(self) -> str:
        return hashlib.sha1(str(self.commits).encode()).hexdigest()


class Hub(ThreadingHTTPServer):
    """The server.

    Attributes:
        repositories: By name.
        objects: LFS's, by SHA-256.
        puts: How often each of these was sent.
        most_puts: Uploads that are accepted; None for all.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.puts: Counter[str] = Counter()
        self.most_puts: int | None = None
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)", path):
            repository = self.server.repositories.get(found[1])
            if repository is None or (repository.private and not self._known()):
                self._refuse(404, "RepoNotFound")
            else:
                self._answer({"id": found[1], "sha": repository.head, "private": repository.private})
        elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/tree/([^/]+)", path):
            self._answer([*_tree(self.server.repositories[found[1]])])
        else:
            self._refuse(404, "EntryNotFound")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if not self._known():
            self._refuse(401, "Unauthorized")
            return
        with self.server.lock:
            self._post(body)

    def _post(self, body: bytes) -> None:
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            private = asked.get("visibility") == "private" or bool(asked.get("private"))
            self.server.repositories[name] = Repository(
                private=private, files={".gitattributes": b"*.tar filter=lfs\n"}
            )
            self._answer({"url": f"{self.server.address}/datasets/{name}"})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/preupload/main", self.path):
            self._answer({"files": [*_modes(self.server.repositories[found[1]], json.loads(body)["files"])]})
        elif re.fullmatch(r"/datasets/[^/]+/[^/]+\.git/info/lfs/objects/batch", self.path):
            self._answer({"transfer": "basic", "objects": [self._upload(one) for one in json.loads(body)["objects"]]})
        elif self.path == "/verify":
            asked = json.loads(body)
            fine = len(self.server.objects.get(asked["oid"], b"")) == asked["size"]
            self._answer({}) if fine else self._refuse(422, "BadObject")
        elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/commit/main", self.path):
            self._commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self._refuse(404, "EntryNotFound")

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        name = self.path.rsplit("/", 1)[-1]
        with self.server.lock:
            if self.server.most_puts is not None and self.server.puts.total() >= self.server.most_puts:
                self.close_connection = True
                self._refuse(403, "QuotaExceeded")
            elif hashlib.sha256(content).hexdigest() != name:
                self._refuse(400, "BadDigest")
            else:
                self.server.puts[name] += 1
                self.server.objects[name] = content
                self._answer({})

    def _upload(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["oid"] in self.server.objects:
            return asked
        upload = {"href": f"{self.server.address}/upload/{asked['oid']}"}
        return asked | {"actions": {"upload": upload, "verify": {"href": f"{self.server.address}/verify"}}}

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        repository = self.server.repositories[name]
        header, *operations = lines
        if header["value"].get("parentCommit", repository.head) != repository.head:
            self._refuse(412, "ParentChanged")
            return
        added, removed = [], []
        for one in operations:
            path = one["value"]["path"]
            if one["key"] == "deletedFile":
                del repository.files[path]
                removed.append(path)
                continue
            if one["key"] == "lfsFile":
                repository.files[path] = self.server.objects[one["value"]["oid"]]
                repository.large.add(path)
            else:
                repository.files[path] = base64.b64decode(one["value"]["content"])
                repository.large.discard(path)
            added.append(path)
        repository.commits.append((added, removed))
        url = f"{self.server.address}/datasets/{name}/commit/{repository.head}"
        self._answer({"commitUrl": url, "commitOid": repository.head})

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _answer(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {})

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, json.dumps({"error": code}).encode(), {"X-Error-Code": code})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _tree(repository: Repository) -> Iterator[dict[str, Any]]:
    for path, content in sorted(repository.files.items()):
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git_sha1(content)}
        if path in repository.large:
            sha256 = hashlib.sha256(content).hexdigest()
            pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
                sha256.encode(),
                len(content),
            )
            lfs = {"oid": sha256, "size": len(content), "pointerSize": len(pointer)}
            entry |= {"oid": git_sha1(pointer), "lfs": lfs}
        yield entry


def _modes(repository: Repository, files: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in files:
        large = one["path"].endswith(".tar") or one["size"] >= REGULAR
        there = repository.files.get(one["path"])
        oid = git_sha1(there) if there is not None and one["path"] not in repository.large else None
        yield {"path": one["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
