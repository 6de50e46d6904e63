#!/usr/bin/env python3
"""The whole house, end to end: the real OpenAI and Anthropic clients against `tieline up` with a real model.

    python3 e2e/run.py --tieline target/release/tieline [--only WORD] [--keep]

Makes a virtual environment with the clients, and with somebody else's verifier of transparency logs, under the user's cache
folder (once for each requirements.txt and verifier.txt), starts
`tieline up` on a fresh state folder with free ports, and runs the cases of `cases.py` in order: later ones look at what
earlier ones left in the ledger. One line per case; the last line is `e2e: N passed, N failed`. Exit 1 if any failed.
Every wait has a limit, and the whole run has one.
"""

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
INSTALL_SECONDS_MAX = 600
# 40 cases of a few seconds each, and once the download of a model of 98 MB.
RUN_SECONDS_MAX = 1500


def environment() -> Path:
    """The interpreter of the environment with the clients; made if there is none."""
    requirements, verifier = HERE / "requirements.txt", HERE / "verifier.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(requirements.read_bytes() + verifier.read_bytes() + version.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tieline"
    folder = cache / f"e2e-{digest}"
    python = folder / "bin" / "python"
    done = folder / "complete"
    if done.exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    print(f"installing the clients into {folder}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=INSTALL_SECONDS_MAX)
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-input"]
    pip += ["--only-binary", ":all:"]
    for words in (["--requirement", requirements], ["--ignore-requires-python", "--no-deps", "--requirement", verifier]):
        subprocess.run([*pip, *words], check=True, timeout=INSTALL_SECONDS_MAX)
    done.touch()
    return python


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--tieline", type=Path, required=True, help="the binary under test")
    parser.add_argument("--only", default="", help="run cases whose name has this word (and start and stop)")
    parser.add_argument("--keep", action="store_true", help="keep the state folder")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def run(chosen: argparse.Namespace) -> int:
    """Run the cases; called inside of the environment."""
    from cases import CASES  # noqa: PLC0415  (needs the clients)
    from house import House  # noqa: PLC0415

    folder = Path(tempfile.mkdtemp(prefix="tieline-e2e-"))
    house = House(chosen.tieline.resolve(), folder)
    passed, failed = 0, []
    try:
        for case in CASES:
            name = case.__name__.replace("_", " ")
            if chosen.only and chosen.only not in name and not getattr(case, "always", False):
                continue
            start = time.monotonic()
            try:
                case(house)
            except Exception as error:  # noqa: BLE001  (whatever it was, the next case runs)
                failed.append(name)
                print(f"FAIL {name} ({time.monotonic() - start:.1f} s): {type(error).__name__}: {error}", flush=True)
                where = error.__traceback__
                while where:
                    if Path(where.tb_frame.f_code.co_filename).parent == HERE:
                        print(f"     {Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}", flush=True)
                    where = where.tb_next
            else:
                passed += 1
                print(f"ok   {name} ({time.monotonic() - start:.1f} s)", flush=True)
    finally:
        house.end()
    if failed:
        print(f"\nlast lines of the server:\n{house.log_tail()}")
    if chosen.keep or failed:
        print(f"state folder: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"e2e: {passed} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


def too_long(*_) -> None:
    """End the run; what is under way fails, and so does the rest."""
    raise TimeoutError(f"the run took more than {RUN_SECONDS_MAX} s")


def main() -> int:
    """Install if need be, then go on inside of the environment."""
    chosen = options()
    if not chosen.tieline.is_file():
        print(f"there is no binary {chosen.tieline}\ne2e: 0 passed, 1 failed")
        return 2
    if chosen.inside:
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(RUN_SECONDS_MAX)
        return run(chosen)
    try:
        python = environment()
    except (subprocess.SubprocessError, OSError) as error:
        print(f"cannot install the clients: {error}\ne2e: 0 passed, 1 failed")
        return 2
    # A proxy must not stand between the clients and this machine.
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run([python, "-B", __file__, *sys.argv[1:], "--inside"], env=clean, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
