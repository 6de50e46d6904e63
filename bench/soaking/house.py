"""The gateway of a soak: its state folder, its channels, its keys, and the commands that are run on it."""

import json
import os
import signal
import subprocess
import threading
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACK = os.path.join(ROOT, "packs", "demo")
READY_SECONDS = 30
STOP_SECONDS = 60
COMMAND_SECONDS = 60
# The books of ten minutes are some hundred MB.
BOOKS_SECONDS = 900

CHANNELS = {"a": "openai_compatible", "b": "anthropic", "c": "openai_compatible", "d": "anthropic", "e": "openai_compatible"}
# Which channels serve a model, and what a token of it costs, in and out, in nano-USD.
MODELS = {"m1": "abcd", "m2": "bcde"}
PRICES = {"m1": (1_000, 2_000), "m2": (3_000, 6_000)}
ATTEMPTS_MAX = 3
# Of the pool whose callers may not take for ever.
BRIEF_MS = 8_000
# Limits of time: what hangs is noticed soon, and what is only late on a busy machine is not.
LIMITS_MS = {"connect": 1_000, "head": 2_000, "first_content": 2_000, "idle": 2_000, "whole": 4_000, "call": 60_000}

POOLS = {
    "plain": {"models": ["m1"]},
    "resumed": {"models": ["m1"], "resume": "same_model"},
    "pair": {"models": ["m1", "m2"], "resume": "pool"},
    "strict": {"models": ["m2"], "record": "strict"},
    "brief": {"models": ["m1"], "call_ms": BRIEF_MS},
}
PARTIES = {
    "p_soak": ["--jurisdiction", "DE", "--class", "enterprise"],
    # The pack serves nobody there, and of the next it does not know enough.
    "p_blocked": ["--jurisdiction", "IR", "--class", "enterprise"],
    "p_unknown": [],
}
REQUESTS_PER_MINUTE = 60
CONCURRENCY = 2


class Impossible(Exception):
    """The measurement cannot be made here."""


class House:
    """One state folder, the server on it, and its channels."""

    def __init__(self, programs, folder, budget_nano):
        self.program, self.folder = programs["tieline"], folder
        self.journal = os.path.join(folder, "journal.jsonl")
        self.log = os.path.join(folder, "server.log")
        self.channels = Channels(programs["channel_set"], self.journal, os.path.join(folder, "channels.log"))
        self.server = None
        try:
            self.configure(0)
            self.run("policy", "adopt", PACK, "--officer", "soak", "--entity", "soak")
            for party, facts in PARTIES.items():
                evidence = ["--evidence-kind", "registration", "--issuer", "soak"] if facts else []
                self.run("party", "add", "--id", party, "--name", party, *facts, *evidence)
            self.key_ids = {}
            self.keys = {
                "good": self.key("good", "p_soak"),
                "blocked": self.key("blocked", "p_blocked"),
                "unknown": self.key("unknown", "p_unknown"),
                "fenced": self.key("fenced", "p_soak", "--allow", "plain"),
                "thrifty": self.key("thrifty", "p_soak", "--budget-per-day", usd(budget_nano)),
                "paced": self.key("paced", "p_soak", "--requests-per-minute", str(REQUESTS_PER_MINUTE)),
                "narrow": self.key("narrow", "p_soak", "--concurrency", str(CONCURRENCY)),
                "nobody": "tl_" + "a" * 52,
            }
            self.start()
        except BaseException:
            self.kill()
            raise

    # === the server ===

    def configure(self, number):
        """Write the configuration; each number gives another grid that serves alike."""
        path = os.path.join(self.folder, "tieline.toml")
        with open(path + ".new", "w") as file:
            file.write(configuration(self.channels.ports, number))
        # Whole or not at all: the server looks at it once a second.
        os.replace(path + ".new", path)

    def start(self):
        ready = os.path.join(self.folder, "ready.json")
        with open(self.log, "wb") as log:
            words = [self.program, "--dir", self.folder, "serve", "--ready-file", ready]
            self.server = subprocess.Popen(words, stdout=log, stderr=log)
        end = time.monotonic() + READY_SECONDS
        while not os.path.exists(ready):
            if self.server.poll() is not None or time.monotonic() > end:
                raise Impossible(f"tieline serve is not ready:\n{self.log_tail()}")
            time.sleep(0.02)
        with open(ready) as file:
            said = json.load(file)
        host, port = said["gateway"].removeprefix("http://").rsplit(":", 1)
        self.listen = (host, int(port))
        self.admin, self.admin_key = said["admin"], said["admin_key"]

    def hang_up(self):
        """Have it read its configuration."""
        self.server.send_signal(signal.SIGHUP)

    def stop(self):
        """Ask it to stop, and wait until it has; its exit code."""
        self.server.send_signal(signal.SIGTERM)
        try:
            return self.server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def kill(self):
        """Leave nothing behind."""
        if self.server and self.server.poll() is None:
            self.server.kill()
            self.server.wait()
        self.channels.end()

    def log_tail(self):
        with open(self.log, errors="replace") as file:
            return file.read()[-2000:]

    def metrics(self):
        """The lines of the metrics, without comments."""
        request = urllib.request.Request(self.admin + "/metrics", headers={"authorization": f"Bearer {self.admin_key}"})
        with urllib.request.urlopen(request, timeout=COMMAND_SECONDS) as reply:
            lines = reply.read().decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line and line[0] != "#"}

    # === commands ===

    def try_run(self, *words, seconds=COMMAND_SECONDS):
        command = [self.program, "--dir", self.folder, "--json", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds)

    def run(self, *words, seconds=COMMAND_SECONDS):
        """What a command that must succeed says."""
        done = self.try_run(*words, seconds=seconds)
        if done.returncode != 0:
            raise Impossible(f"tieline {' '.join(words)}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def key(self, name, party, *limits):
        added = self.run("keys", "add", "--party", party, *limits)
        self.key_ids[name] = added["id"]
        return added["key"]

    def entries(self):
        """The entries of the ledger, in order."""
        words = [self.program, "--dir", self.folder, "--json", "ledger", "show", "0.."]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as shown:
            for line in shown.stdout:
                yield json.loads(line)["entry"]
        if shown.returncode != 0:
            raise Impossible(f"the ledger cannot be shown: exit {shown.returncode}")


class Channels:
    """The scripted channels: one process that takes orders."""

    def __init__(self, program, journal, log):
        words = [program, "--journal", journal, *(f"{name}=0" for name in CHANNELS)]
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True, bufsize=1
            )
        self.lock = threading.Lock()
        said = self.process.stdout.readline().split()
        if not said or said[0] != "listening":
            raise Impossible(f"the channels do not listen; see {log}")
        self.ports = dict(word.split("=") for word in said[1:])

    def order(self, order):
        with self.lock:
            self.process.stdin.write(order + "\n")
            answer = self.process.stdout.readline().strip()
        if answer != f"done {order}":
            raise Impossible(f"the channels say: {answer}")

    def close_idle(self):
        """Close every connection."""
        for name in CHANNELS:
            self.order(f"{name} down")
            self.order(f"{name} up")

    def end(self):
        """Its exit code; the journal is whole by then."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        return self.process.returncode


def configuration(ports, number):
    lines = ["[gateway]", 'listen = "127.0.0.1:0"', 'admin = "127.0.0.1:0"', "[gateway.log]", 'level = "warn"']
    lines += ["[labs.lab]", 'jurisdiction = "FR"']
    for model in MODELS:
        lines += [f"[models.{model}]", 'lab = "lab"', 'weights = "open"']
    for name, provider in CHANNELS.items():
        served = ", ".join(
            f'{model} = {{ name = "{model}", price = {{ input = "{milli(PRICES[model][0])}", '
            f'output = "{milli(PRICES[model][1])}" }} }}'
            for model, channels in MODELS.items()
            if name in channels
        )
        lines += [
            f"[channels.{name}]",
            f'provider = "{provider}"',
            f'url = "http://127.0.0.1:{ports[name]}"',
            "credential = { none = true }",
            f'components = ["cloud:{name}"]',
            f"models = {{ {served} }}",
        ]
    lines += ["[defaults]", f"attempts_max = {ATTEMPTS_MAX}"]
    # Nobody waits for so long, so that this is all that a reload changes.
    lines += [f"{name}_ms = {ms + (number if name == 'call' else 0)}" for name, ms in LIMITS_MS.items()]
    for pool, settings in POOLS.items():
        lines += [f"[pool.{pool}]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
    lines += ["[policy]", f'packs = ["{PACK}"]', 'enforce = ["company"]']
    return "\n".join(lines) + "\n"


def usd(nano):
    return f"{nano // 10**9}.{nano % 10**9 // 1000:06d}"


def milli(nano_per_token):
    """USD per million tokens."""
    return f"{nano_per_token // 1000}.{nano_per_token % 1000:03d}"
