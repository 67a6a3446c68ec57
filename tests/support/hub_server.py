"""A stand-in of the Hugging Face Hub's HTTP API: as much as huggingface_hub asks to publish and to bring a pack."""

import base64
import dataclasses
import hashlib
import http.server
import json
import re
import urllib.parse

TOKEN = "hf_whoMayWrite"
# What the Hub keeps outside of git.
LARGE = ".keras"


@dataclasses.dataclass
class Repository:
    """Commits, the oldest first, each a dictionary of files by name; who may read them."""

    commits: dict[str, dict[str, bytes]]
    private: bool = False
    gated: bool = False


class HubServer(http.server.ThreadingHTTPServer):
    """Repositories in memory.

    Attributes:
        repositories: `Repository` by `"ORG/NAME"`.
        large: contents by SHA-256.
        requests: methods and paths, in the order in which they came.
        before_commit: called before a commit is looked at, once, if set.
        status: answered to every request instead, if set.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories, self.large, self.requests = {}, {}, []
        self.before_commit = self.status = None
        self.url = f"http://127.0.0.1:{self.server_port}"
        # Another host, as the Hub's: huggingface_hub must not send the token there.
        self.storage = f"http://localhost:{self.server_port}"

    def handle_error(self, request, client_address):
        """Clients that go away are part of the tests."""

    def files(self, name):
        """Files of a repository's newest commit."""
        return list(self.repositories[name].commits.values())[-1]

    def commit(self, name, **changes):
        """A commit by somebody else."""
        return self.add_commit(name, {**self.files(name), **changes})

    def add_commit(self, name, files):
        commits = self.repositories[name].commits
        oid = hashlib.sha1(f"{name} {len(commits)}".encode()).hexdigest()
        commits[oid] = files
        return oid


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def _route(self):
        self.server.requests.append((self.command, self.path))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        if self.server.status:
            return self._answer(self.server.status, {"error": "the server is told to"})
        for method, pattern, call in _ROUTES:
            if self.command == method and (match := re.fullmatch(pattern, path)):
                return call(self, *match.groups())
        return self._answer(404, {"error": f"no route {path}"})

    do_GET = do_HEAD = do_POST = do_PUT = _route  # noqa: N815

    def _answer(self, status, content=b"", **headers):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _may_write(self):
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self._answer(401, {"error": "Invalid username or password."})
        return False

    def _commit_of(self, name, revision):
        """`oid, files`, or `None` after an error was answered."""
        repository = self.server.repositories.get(name)
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository is None or (repository.private and not known):
            return self._answer(404 if known else 401, X_Error_Code="RepoNotFound")
        if repository.gated and not known:
            return self._answer(403, X_Error_Code="GatedRepo")
        oids = list(repository.commits)
        oid = oids[-1] if revision in (None, "main") else revision
        if oid not in oids:
            return self._answer(404, X_Error_Code="RevisionNotFound")
        return oid, repository.commits[oid]

    def _create(self):
        if not self._may_write():
            return
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        url = {"url": f"{self.server.url}/{name}"}
        if name in self.server.repositories:
            self._answer(409, url)
            return
        self.server.repositories[name] = Repository({})
        self.server.add_commit(name, {".gitattributes": b""})
        self._answer(200, url)

    def _info(self, name, revision):
        if found := self._commit_of(name, revision):
            oid, files = found
            self._answer(200, {"id": name, "sha": oid, "siblings": [{"rfilename": file} for file in files]})

    def _resolve(self, name, revision, file):
        if not (found := self._commit_of(name, revision)):
            return
        oid, files = found
        if file not in files:
            self._answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=oid)
            return
        content, headers = files[file], {"X_Repo_Commit": oid}
        etag = hashlib.sha256(content).hexdigest()
        if file.endswith(LARGE):
            self.server.large[etag] = content
            headers |= {"X_Linked_Size": len(content), "X_Linked_Etag": f'"{etag}"'}
            self._answer(302, Location=f"{self.server.storage}/large/{etag}", **headers)
        else:
            self._answer(200, content, ETag=f'"{etag}"', **headers)

    def _validate(self):
        self._answer(200, {"errors": [], "warnings": []})

    def _modes(self, name, revision):
        if self._may_write() and self._commit_of(name, revision):
            names = [file["path"] for file in json.loads(self.body)["files"]]
            modes = {one: "lfs" if one.endswith(LARGE) else "regular" for one in names}
            files = [{"path": one, "uploadMode": mode, "shouldIgnore": False} for one, mode in modes.items()]
            self._answer(200, {"files": files})

    def _batch(self, name):
        def place(asked):
            upload = {"href": f"{self.server.url}/large/{asked['oid']}"}
            return {**asked, "actions": {"upload": upload}}

        objects = [place(asked) for asked in json.loads(self.body)["objects"]]
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _store(self, oid):
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.server.large[oid] = self.body
        self._answer(200)

    def _load(self, oid):
        assert "Authorization" not in self.headers
        self._answer(200, self.server.large[oid], ETag=f'"{oid}"')

    def _commit(self, name, revision):
        if not self._may_write() or not (found := self._commit_of(name, revision)):
            return
        if self.server.before_commit is not None:
            call, self.server.before_commit = self.server.before_commit, None
            call()
        oid, files = found[0], dict(found[1])
        for line in self.body.splitlines():
            key, value = (json.loads(line)[part] for part in ("key", "value"))
            if key == "header" and value["parentCommit"] != list(self.server.repositories[name].commits)[-1]:
                self._answer(412, {"error": "A commit has happened since. Please refresh and try again."})
                return
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
        oid = self.server.add_commit(name, files)
        self._answer(200, {"commitUrl": f"{self.server.url}/{name}/commit/{oid}", "commitOid": oid})


_NAME = "([^/]+/[^/]+)"
_ROUTES = (
    ("POST", "/api/repos/create", _Handler._create),
    ("POST", "/api/validate-yaml", _Handler._validate),
    ("GET", f"/api/models/{_NAME}(?:/revision/(.+))?", _Handler._info),
    ("POST", f"/api/models/{_NAME}/preupload/(.+)", _Handler._modes),
    ("POST", f"/api/models/{_NAME}/commit/(.+)", _Handler._commit),
    ("POST", rf"/{_NAME}\.git/info/lfs/objects/batch", _Handler._batch),
    ("HEAD", f"/{_NAME}/resolve/([^/]+)/(.+)", _Handler._resolve),
    ("GET", f"/{_NAME}/resolve/([^/]+)/(.+)", _Handler._resolve),
    ("PUT", "/large/(.+)", _Handler._store),
    ("GET", "/large/(.+)", _Handler._load),
)
