"""A Hub in memory that huggingface_hub and datasets talk to: repositories, commits, LFS, tags, gates, planned faults.

with serving() as hub:      hub.address goes into HF_ENDPOINT
    hub.repos["ada/data"] = Repo({"train.jsonl": b"..."})
    hub.faults["lfs"] = (403, "Private storage limit reached")
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LFS = re.compile(r".*\.(parquet|zip|tar|png|jpg)")
"""Files that are uploaded as LFS objects, as the Hub's .gitattributes says."""


class Answer(Exception):  # noqa: N818
    """An answer other than the good one."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        self.status, self.code, self.message = status, code, message


def git_sha(content: bytes) -> str:
    """Id of a git blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repo:
    """A data set's repository. `files` is its first commit."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    private: bool = False
    gated: bool = False
    owner: str = "ada"
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    head: str = ""

    def __post_init__(self) -> None:
        self.commit(self.files)

    def commit(self, files: Mapping[str, bytes]) -> str:
        """A commit with exactly these files."""
        text = "".join(f"{name}\0{git_sha(content)}\n" for name, content in sorted(files.items()))
        self.head = hashlib.sha1(f"{len(self.commits)} {self.head} {text}".encode()).hexdigest()
        self.commits[self.head] = dict(files)
        return self.head

    def tamper(self, name: str, content: bytes) -> None:
        """A commit of somebody else's that changes one file."""
        self.commit({**self.commits[self.head], name: content})

    @property
    def now(self) -> dict[str, bytes]:
        """The files of the newest commit."""
        return self.commits[self.head]

    def find(self, revision: str) -> str:
        """The commit that a revision names."""
        commit = self.head if revision == "main" else self.tags.get(revision, revision)
        if commit not in self.commits:
            raise Answer(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit


class Hub:
    """All repositories and tokens, and what was asked."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.tokens = {"hf_ada": ("ada", "write"), "hf_reader": ("ada", "read"), "hf_bob": ("bob", "write")}
        """User and role by token."""
        self.may_read_gated: set[str] = set()
        self.objects: dict[str, bytes] = {}
        """LFS objects by SHA-256."""
        self.asked: list[tuple[str, str]] = []
        """Method and path of every request."""
        self.faults: dict[str, tuple[int, str]] = {}
        """Status and message by operation: `lfs`, `put`, `commit`, `create`, `resolve FILE`."""
        self.cut_after: int | None = None
        """The next download stops after so many bytes."""
        self.puts_left: int | None = None
        """After so many uploads, further ones are refused."""
        self.ranges: list[str] = []
        """What downloads that go on from a part asked for."""
        self.hold_puts: threading.Event | None = None
        """Uploads wait until it is set."""
        self.address = ""

    def count(self, method: str, part: str) -> int:
        """Requests whose path has `part`."""
        return sum(m == method and part in path for m, path in self.asked)

    def clear(self) -> None:
        """Forgets everything but its address."""
        address = self.address
        self.__init__()  # type: ignore[misc]
        self.address = address


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            self.body = b"".join(parts)
        else:
            self.body = self.rfile.read(length)
        self.hub.asked.append((self.command, url.path))
        try:
            self._route(url.path)
        except Answer as answer:
            self._send({"error": answer.message}, answer.status, answer.code, answer.message)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def _send(self, data: Any, status: int = 200, code: str = "", message: str = "", **headers: str) -> None:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in {"X-Error-Code": code, "X-Error-Message": message, **headers}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _user(self) -> tuple[str, str] | None:
        header = self.headers.get("Authorization")
        if header is None:
            return None
        user = self.hub.tokens.get(header.removeprefix("Bearer "))
        if user is None:
            raise Answer(401, message="Invalid credentials in Authorization header")
        return user

    def _fault(self, operation: str) -> None:
        if operation in self.hub.faults:
            status, message = self.hub.faults[operation]
            raise Answer(status, message=message)

    def _repo(self, name: str, *, write: bool = False) -> Repo:
        user = self._user()
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and (user is None or user[0] != repo.owner)):
            raise Answer(401 if user is None else 404, "RepoNotFound", "Repository not found")
        if write and (user is None or user != (repo.owner, "write")):
            raise Answer(403, message="You don't have the rights to write to this repo")
        return repo

    def _route(self, path: str) -> None:
        if path == "/api/whoami-v2":
            user = self._user()
            assert user is not None
            return self._send({"type": "user", "name": user[0], "orgs": []})
        if path == "/api/validate-yaml":
            return self._send({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._create()
        if path.startswith("/objects/"):
            return self._put(path.rpartition("/")[2])
        if found := re.fullmatch(r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self._batch(found[1])
        if found := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(found[1], unquote(found[2]), unquote(found[3]))
        found = re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/([a-z-]+)(?:/([^/]+))?(?:/(.+))?)?", path)
        if not found:
            raise Answer(404, message=f"no such address: {path}")
        name, verb, revision, rest = found[1], found[2], unquote(found[3] or "main"), unquote(found[4] or "")
        if verb in (None, "revision"):
            return self._info(name, revision)
        if verb == "tree":
            return self._send(self._entries(self._repo(name), revision, rest))
        if verb == "paths-info":
            wanted = parse_qs(self.body.decode())["paths"]
            entries = self._entries(self._repo(name), revision, "")
            return self._send([entry for entry in entries if entry["path"] in wanted])
        if verb == "refs":
            tags = self._repo(name).tags.items()
            listed = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": commit} for tag, commit in tags]
            return self._send({"branches": [], "converts": [], "tags": listed})
        if verb == "tag":
            return self._tag(self._repo(name, write=True), revision)
        if verb == "preupload":
            self._repo(name, write=True)
            files = [
                {
                    "path": f["path"],
                    "uploadMode": "lfs" if LFS.fullmatch(f["path"]) else "regular",
                    "shouldIgnore": False,
                }
                for f in json.loads(self.body)["files"]
            ]
            return self._send({"files": files})
        if verb == "commit":
            return self._commit(name, self._repo(name, write=True))
        raise Answer(404, message=f"no such address: {path}")

    def _create(self) -> None:
        self._fault("create")
        user, asked = self._user(), json.loads(self.body)
        owner = asked["organization"] or (user or ("", ""))[0]
        if user is None or user != (owner, "write"):
            raise Answer(403, message=f"You don't have the rights to create a dataset under the namespace {owner}")
        name = f"{owner}/{asked['name']}"
        if name in self.hub.repos:
            raise Answer(409, message="You already created this dataset repo")
        self.hub.repos[name] = Repo({".gitattributes": b""}, private=asked["visibility"] == "private", owner=owner)
        return self._send({"url": f"{self.hub.address}/datasets/{name}"})

    def _info(self, name: str, revision: str) -> None:
        repo = self._repo(name)
        commit = repo.find(revision)
        siblings = [{"rfilename": file} for file in repo.commits[commit]]
        facts = {
            "id": name,
            "sha": commit,
            "private": repo.private,
            "gated": repo.gated,
            "siblings": siblings,
            "tags": [],
        }
        self._send(facts)

    def _entries(self, repo: Repo, revision: str, folder: str) -> list[dict[str, Any]]:
        entries: dict[str, dict[str, Any]] = {}
        for path, content in repo.commits[repo.find(revision)].items():
            if folder and not path.startswith(f"{folder}/"):
                continue
            parents = path.split("/")[:-1]
            for depth in range(len(parents)):
                parent = "/".join(parents[: depth + 1])
                if len(parent) > len(folder):
                    entries[parent] = {"type": "directory", "path": parent, "oid": "0" * 40, "size": 0}
            entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git_sha(content)}
            if LFS.fullmatch(path):
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
            entries[path] = entry
        if folder and not entries:
            raise Answer(404, "EntryNotFound", f"{folder} does not exist")
        if self.query.get("recursive", ["True"])[0].lower() != "true":
            depth = folder.count("/") + 1 if folder else 0
            return [entry for path, entry in entries.items() if path.count("/") == depth]
        return list(entries.values())

    def _tag(self, repo: Repo, revision: str) -> None:
        if self.command == "DELETE":
            del repo.tags[revision]
            return self._send({})
        tag = json.loads(self.body)["tag"]
        if tag in repo.tags:
            raise Answer(409, message="Tag exists")
        repo.tags[tag] = repo.find(revision)
        return self._send({})

    def _batch(self, name: str) -> None:
        self._fault("lfs")
        self._repo(name, write=True)
        objects: list[dict[str, Any]] = []
        for wanted in json.loads(self.body)["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.objects:
                entry["actions"] = {"upload": {"href": f"{self.hub.address}/objects/{wanted['oid']}"}}
            objects.append(entry)
        self._send({"transfer": "basic", "objects": objects})

    def _put(self, oid: str) -> None:
        self._fault("put")
        if self.hub.hold_puts is not None:
            self.hub.hold_puts.wait(30)
        if self.hub.puts_left is not None:
            if self.hub.puts_left == 0:
                raise Answer(403, message="the upload was cut off")
            self.hub.puts_left -= 1
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.objects[oid] = self.body
        self._send(b"")

    def _commit(self, name: str, repo: Repo) -> None:
        self._fault("commit")
        files = dict(repo.now)
        for line in self.body.splitlines():
            item = json.loads(line)
            kind, value = item["key"], item["value"]
            if kind == "header" and value.get("parentCommit") not in (None, repo.head):
                raise Answer(412, message="A commit has happened since. Please refresh and try again.")
            if kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif kind == "deletedFile":
                del files[value["path"]]
        commit = repo.commit(files)
        self._send({"commitUrl": f"{self.hub.address}/datasets/{name}/commit/{commit}", "commitOid": commit})

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repo, user = self._repo(name), self._user()
        if repo.gated and (user is None or user[0] not in self.hub.may_read_gated):
            message = f"Access to dataset {name} is restricted and you are not in the authorized list."
            raise Answer(403 if user else 401, "GatedRepo", message)
        self._fault(f"resolve {path}")
        commit = repo.find(revision)
        if path not in repo.commits[commit]:
            raise Answer(404, "EntryNotFound", "Entry not found")
        content = repo.commits[commit][path]
        etag = hashlib.sha256(content).hexdigest() if LFS.fullmatch(path) else git_sha(content)
        headers = {"ETag": f'"{etag}"', "X_Repo_Commit": commit, "Accept_Ranges": "bytes"}
        if LFS.fullmatch(path):
            headers |= {"X_Linked_Etag": f'"{etag}"', "X_Linked_Size": str(len(content))}
        start, status = 0, 200
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, status = int(found[1]), 206
            self.hub.ranges.append(found[0])
            stop = min(int(found[2] or len(content)), len(content) - 1)
            headers["Content_Range"] = f"bytes {start}-{stop}/{len(content)}"
            content = content[: stop + 1]
        body = content[start:]
        headers["Content_Length"] = str(len(body))
        if self.command == "GET" and self.hub.cut_after is not None:
            body, self.hub.cut_after = body[: self.hub.cut_after], None
            self.close_connection = True
        self._send(body, status, **headers)


@contextmanager
def serving() -> Iterator[Hub]:
    """A Hub on a port of this machine, until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
