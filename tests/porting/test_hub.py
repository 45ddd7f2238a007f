"""Models come from the hub and go to it; here a stand-in answers on this machine."""

import http.server
import json
import threading

import pytest

from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.porting import hub

FILES = {"config.json": b'{"model_type": "clip"}', "weights.bin": b"a pickle"}
COMMIT = "a" * 40


class StandIn(http.server.BaseHTTPRequestHandler):
    """The few answers of the hub's API that downloading and uploading ask for."""

    def log_message(self, *_):
        pass

    def _send(self, content: bytes, code: int = 200, **headers) -> None:
        self.send_response(code)
        headers = {"Content-Length": len(content), **headers}
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path.startswith("/api/models/org/model/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": COMMIT}
                for name, data in FILES.items()
            ]
            return self._send(json.dumps(tree).encode())
        if self.path.startswith(("/api/models/org/model", "/api/models/org/hidden")):
            listed = [{"rfilename": name} for name in FILES]
            about = {"id": "org/model", "sha": COMMIT, "siblings": listed}
            about["private"] = "hidden" in self.path
            return self._send(json.dumps(about).encode())
        name = self.path.rpartition("/")[2]
        if self.path.startswith("/org/model/resolve/") and name in FILES:
            content = FILES[name]
            return self._send(content, ETag=f'"{name}"', X_Repo_Commit=COMMIT)
        return self._send(b"{}", 404, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.posted.append((self.path, body))
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            answer = {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": "regular",
                        "shouldIgnore": False,
                    }
                    for file in files
                ]
            }
        elif "/commit/" in self.path:
            answer = {
                "success": True,
                "commitOid": COMMIT,
                "commitUrl": f"{self.server.address}/org/model/commit/{COMMIT}",
                "hookOutput": "",
            }
        else:
            answer = {"url": f"{self.server.address}/org/model", "warnings": []}
        self._send(json.dumps(answer).encode())


@pytest.fixture
def server(monkeypatch, tmp_path):
    """The stand-in, asked in place of the hub, with a cache of its own."""
    from huggingface_hub import constants, file_download, hf_api

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    found.address = f"http://127.0.0.1:{found.server_port}"
    found.asked, found.posted = [], []
    for module in (constants, hf_api, file_download):
        if hasattr(module, "ENDPOINT"):
            monkeypatch.setattr(module, "ENDPOINT", found.address)
    template = found.address + "/{repo_id}/resolve/{revision}/{filename}"
    for module in (constants, file_download):
        if hasattr(module, "HUGGINGFACE_CO_URL_TEMPLATE"):
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", found.address)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()


def test_a_folder_that_is_there_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "model").mkdir(parents=True)
    assert hub.folder_of("org/model").resolve() == tmp_path / "org" / "model"
    assert str(hub.folder_of("/nowhere/at/all")) == "/nowhere/at/all"


def test_a_model_is_fetched_once_and_without_its_pickles(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = hub.folder_of("org/model")
    assert (folder / "config.json").read_bytes() == FILES["config.json"]
    assert not (folder / "weights.bin").exists()
    asked = len(server.asked)
    assert hub.folder_of("org/model") == folder
    assert len(server.asked) == asked


def test_a_name_that_the_hub_does_not_know(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        hub.folder_of("org/other")
    lines = str(caught.value).splitlines()
    assert "'org/other' is no folder here, and the hub does not give it" in lines[0]
    assert len(lines) == 2 and "hf download org/other" in lines[1]


def test_an_export_is_uploaded_with_its_card(server, tmp_path):
    (tmp_path / "README.md").write_text("---\nlibrary_name: transformers\n---\n# x\n")
    (tmp_path / "config.json").write_text("{}")
    address = hub.upload(tmp_path, "org/new", private=True)
    assert address == f"{server.address}/org/model"
    (made,) = [body for path, body in server.posted if path.endswith("/repos/create")]
    # Of huggingface_hub 1.x, and of 2.x.
    asked = json.loads(made)
    assert asked.get("private") or asked["visibility"] == "private"
    (commit,) = [body for path, body in server.posted if "/commit/" in path]
    rows = [json.loads(line) for line in commit.splitlines()]
    files = {row["value"]["path"] for row in rows if row["key"] == "file"}
    assert files == {"README.md", "config.json"}


def test_nothing_private_goes_into_a_public_repository(server, tmp_path):
    """Which creating it anew, as private, would not make so."""
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RunError, match="org/model is there already and public") as e:
        hub.upload(tmp_path, "org/model", private=True)
    assert "--noprivate" in str(e.value) and server.posted == []
    hub.upload(tmp_path, "org/hidden", private=True)
    hub.upload(tmp_path, "org/model", private=False)
    assert sum("/commit/" in path for path, _ in server.posted) == 2


def test_what_cannot_be_uploaded_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    from huggingface_hub import constants, hf_api

    for module in (constants, hf_api):
        if hasattr(module, "ENDPOINT"):
            monkeypatch.setattr(module, "ENDPOINT", "http://127.0.0.1:9")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RunError, match="could not be uploaded to org/model") as e:
        hub.upload(tmp_path, "org/model", private=True)
    assert str(e.value).endswith(f"hf upload org/model {tmp_path} --private")
    assert (tmp_path / "config.json").exists()


def test_a_name_of_another_form():
    with pytest.raises(ConfigError, match="--upload=model is no name of a repository"):
        hub.check_name("model")
