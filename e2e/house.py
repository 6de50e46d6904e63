"""A running `tieline up`: started, asked, stopped. Every wait is for a condition and has a limit."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

# The first start may download a model and load it twice on a busy machine.
START_SECONDS_MAX = 900
STOP_SECONDS_MAX = 60
COMMAND_SECONDS_MAX = 60
CALL_SECONDS_MAX = 60


@dataclass
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    def json(self) -> dict:
        """Its output as one JSON object with a schema."""
        value = json.loads(self.out)
        assert value["schema"].startswith("tieline/"), value.get("schema")
        return value


@dataclass
class House:
    """One state folder and the server on it."""

    binary: Path
    folder: Path
    process: subprocess.Popen | None = None
    ready: dict = field(default_factory=dict)
    # What cases remember for later ones.
    notes: dict = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """The folder that is given as `--dir`."""
        return self.folder / "state"

    def log_tail(self) -> str:
        """The last lines that the server wrote."""
        log = self.folder / "server.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-30:]) if log.exists() else "(none)"

    def start(self) -> None:
        """Start `tieline up` and wait until it says that it is ready."""
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        command = [self.binary, "--dir", self.state, "up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen([*command, "--ready-file", ready], stdout=log, stderr=log)
        wait_for(lambda: ready.exists() or self.process.poll() is not None, "the ready file", START_SECONDS_MAX)
        assert ready.exists(), f"`tieline up` ended with {self.process.returncode}: {self.log_tail()}"
        self.ready = json.loads(ready.read_text())

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Signal the server and wait for its end; its exit code."""
        self.process.send_signal(how)
        return self.process.wait(STOP_SECONDS_MAX)

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process and self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_SECONDS_MAX)

    def run(
        self, *arguments: str, state: Path | None = None, seconds: int = COMMAND_SECONDS_MAX
    ) -> Done:
        """Run a command on the state folder, or on another."""
        command = [self.binary, "--dir", state or self.state, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    def good(self, *arguments: str) -> Done:
        """Run a command that must succeed."""
        done = self.run(*arguments)
        assert done.code == 0, f"tieline {' '.join(arguments)}: exit {done.code}: {done.out}{done.err}"
        return done

    def status(self) -> dict:
        """What the admin listener says of the server."""
        return json.loads(self.http("GET", "/admin/v1/status", admin=True)[2])

    def http(
        self, method: str, path: str, body: bytes | None = None, *, admin: bool = False, headers: dict | None = None
    ) -> tuple:
        """A request without a client library: status, headers, body."""
        url = self.ready["admin" if admin else "gateway"] + path
        key = self.ready["admin_key" if admin else "key"]
        sent = {"authorization": f"Bearer {key}", "content-type": "application/json"} | (headers or {})
        request = urllib.request.Request(url, data=body, headers=sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=CALL_SECONDS_MAX) as reply:
                return reply.status, reply.headers, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def child(self, channel: str) -> dict:
        """The model server behind a channel: name, pid, state, url."""
        return next(child for child in self.status()["children"] if child["name"] == channel)

    def wait_ready(self, channel: str) -> None:
        """Wait until a channel's model server runs and calls are sent to it."""

        def is_ready() -> bool:
            status = self.status()
            child = next(child for child in status["children"] if child["name"] == channel)
            row = next(row for row in status["channels"] if row["name"] == channel)
            return child["state"] == "ready" and not row["out"]

        wait_for(is_ready, f"{channel} to be ready", START_SECONDS_MAX)


def wait_for(condition, what: str, seconds: float) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet collected does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
