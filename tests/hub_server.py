"""A stand-in for the Hugging Face Hub: it keeps what is committed, and serves it."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_a_token_that_nobody_may_see"
LARGE = (".safetensors", ".png")
"""Endings of files that go to Git LFS."""


@dataclass
class Repository:
    """Commits by their hash, each a folder of files, and branches."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, bytes], title: str) -> str:
        number = hashlib.sha1(f"{len(self.commits)}{title}".encode()).hexdigest()
        self.commits[number] = files
        self.titles.append(title)
        self.branches[branch] = number
        return number

    def resolve(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.branches.get(revision)

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return self.commits[self.branches[revision]]


class Refused(Exception):
    """An answer that is an error: a status, and the Hub's word for it."""

    def __init__(self, status: int, code: str = "", message: str = "", url: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.headers = {"X-Error-Code": code, "X-Error-Message": message}
        self.content = json.dumps({"error": message, "url": url}).encode()


@dataclass
class Hub:
    """All repositories, what was asked for, and who may write."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    owner: str = "me"
    large: tuple[str, ...] = LARGE
    url: str = ""

    def repository(self, name: str, user: str | None) -> Repository:
        """A repository that the user may see; anonymous users are not told which are missing."""
        found = self.repositories.get(name)
        if found is None or (found.private and user is None):
            raise Refused(404 if user else 401, "RepoNotFound")
        return found

    def add(self, name: str, files: dict[str, bytes], **options: Any) -> Repository:
        """Put a repository there, as if it had been pushed."""
        made = self.repositories[name] = Repository(**options)
        made.commit("main", files, "by hand")
        return made

    def downloaded(self) -> set[str]:
        """The names of the files whose content was sent."""
        return {
            path.rpartition("/")[2]
            for verb, path in self.asked
            if verb == "GET" and "/resolve/" in path
        }


Answer = tuple[dict[str, str], bytes]


def _json(value: Any) -> Answer:
    return {"Content-Type": "application/json"}, json.dumps(value).encode()


def _oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(hub: Hub, path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "file",
        "path": path,
        "size": len(content),
        "oid": _oid(content),
    }
    if path.endswith(hub.large):
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": digest, "sha256": digest, "size": len(content), "pointerSize": 130}
    return entry


def _create(hub: Hub, user: str | None, body: bytes) -> Answer:
    wanted = json.loads(body)
    if user is None:
        raise Refused(401, message="Invalid credentials in Authorization header")
    if wanted["organization"] != hub.owner:
        raise Refused(403, message="You don't have the rights to create a model here")
    name = f"{wanted['organization']}/{wanted['name']}"
    if name in hub.repositories:
        raise Refused(409, message="You already created this model repo", url=f"{hub.url}/{name}")
    private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
    hub.add(name, {".gitattributes": b"*.safetensors filter=lfs\n"}, private=private)
    return _json({"url": f"{hub.url}/{name}"})


def _validate(hub: Hub, user: str | None, body: bytes) -> Answer:
    front = json.loads(body)["content"].split("\n---\n")[0].removeprefix("---\n")
    assert isinstance(yaml.safe_load(front), dict)
    return _json({"errors": [], "warnings": []})


def _info(hub: Hub, user: str | None, body: bytes, name: str, revision: str | None) -> Answer:
    found = hub.repository(name, user)
    number = _resolved(found, revision or "main")
    siblings = [{"rfilename": path} for path in found.commits[number]]
    return _json({"id": name, "sha": number, "private": found.private, "siblings": siblings})


def _resolved(found: Repository, revision: str) -> str:
    number = found.resolve(revision)
    if number is None:
        raise Refused(404, "RevisionNotFound")
    return number


def _tree(hub: Hub, user: str | None, body: bytes, name: str, revision: str) -> Answer:
    found = hub.repository(name, user)
    files = found.commits[_resolved(found, revision)]
    return _json([_entry(hub, path, content) for path, content in files.items()])


def _preupload(hub: Hub, user: str | None, body: bytes, name: str, revision: str) -> Answer:
    found = hub.repository(name, user)
    files = found.commits[_resolved(found, revision)]
    answers = []
    for file in json.loads(body)["files"]:
        path = file["path"]
        large = path.endswith(hub.large)
        old = files.get(path)
        oid = None
        if old is not None:
            oid = hashlib.sha256(old).hexdigest() if large else _oid(old)
        mode = "lfs" if large else "regular"
        answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return _json({"files": answers})


def _batch(hub: Hub, user: str | None, body: bytes, name: str) -> Answer:
    objects = json.loads(body)["objects"]
    for wanted in objects:
        wanted["actions"] = {"upload": {"href": f"{hub.url}/blobs/{wanted['oid']}", "header": {}}}
    return _json({"transfer": "basic", "objects": objects})


def _blob(hub: Hub, user: str | None, body: bytes, digest: str) -> Answer:
    assert hashlib.sha256(body).hexdigest() == digest
    hub.blobs[digest] = body
    return {}, b""


def _branch(hub: Hub, user: str | None, body: bytes, name: str, branch: str) -> Answer:
    found = hub.repository(name, user)
    if branch in found.branches:
        raise Refused(409, message="Reference already exists")
    found.branches[branch] = found.branches["main"]
    return _json({})


def _commit(hub: Hub, user: str | None, body: bytes, name: str, branch: str) -> Answer:
    found = hub.repository(name, user)
    files = dict(found.commits[_resolved(found, branch)])
    title = ""
    for line in map(json.loads, body.splitlines()):
        value = line["value"]
        match line["key"]:
            case "header":
                title = value["summary"]
            case "file":
                files[value["path"]] = base64.b64decode(value["content"])
            case "lfsFile":
                files[value["path"]] = hub.blobs[value["oid"]]
            case "deletedFile":
                del files[value["path"]]
    number = found.commit(branch, files, title)
    return _json(
        {"success": True, "commitOid": number, "commitUrl": f"{hub.url}/{name}/commit/{number}"}
    )


def _file(hub: Hub, user: str | None, body: bytes, name: str, revision: str, path: str) -> Answer:
    found = hub.repository(name, user)
    if found.gated:
        raise Refused(403 if user else 401, "GatedRepo")
    number = _resolved(found, revision)
    if path not in found.commits[number]:
        raise Refused(404, "EntryNotFound")
    content = found.commits[number][path]
    etag = hashlib.sha256(content).hexdigest() if path.endswith(hub.large) else _oid(content)
    return {"X-Repo-Commit": number, "ETag": f'"{etag}"'}, content


ROUTES = [
    ("POST", r"/api/repos/create", _create),
    ("POST", r"/api/validate-yaml", _validate),
    ("GET", r"/api/models/(\w+/[\w.-]+)(?:/revision/([^/]+))?", _info),
    ("GET", r"/api/models/(\w+/[\w.-]+)/tree/([^/]+)", _tree),
    ("POST", r"/api/models/(\w+/[\w.-]+)/preupload/([^/]+)", _preupload),
    ("POST", r"/api/models/(\w+/[\w.-]+)/branch/([^/]+)", _branch),
    ("POST", r"/api/models/(\w+/[\w.-]+)/commit/([^/]+)", _commit),
    ("POST", r"/(\w+/[\w.-]+)\.git/info/lfs/objects/batch", _batch),
    ("PUT", r"/blobs/(\w+)", _blob),
    ("GET", r"/(\w+/[\w.-]+)/resolve/([^/]+)/(.+)", _file),
]


def _answer(hub: Hub, verb: str, path: str, user: str | None, body: bytes) -> Answer:
    for method, pattern, respond in ROUTES:
        matched = re.fullmatch(pattern, path)
        if matched and method == ("GET" if verb == "HEAD" else verb):
            groups = [group and unquote(group) for group in matched.groups()]
            return respond(hub, user, body, *groups)  # type: ignore[operator, no-any-return]
    raise Refused(404, "EntryNotFound")


@contextmanager
def serving() -> Iterator[Hub]:
    """A Hub on this machine, while the block runs."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            path = urlsplit(self.path).path
            hub.asked.append((self.command, path))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            user = hub.owner if self.headers.get("Authorization") == f"Bearer {TOKEN}" else None
            try:
                headers, content = _answer(hub, self.command, path, user, body)
                status = 200
            except Refused as refused:
                status = refused.status
                headers = {name: value for name, value in refused.headers.items() if value}
                content = refused.content
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = respond

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield hub
        server.shutdown()
        thread.join()
