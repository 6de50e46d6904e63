"""What the ledger of a soak is held against when the server has stopped: verification, replay, and the sums of `usage`."""

import json
import os
import time

from .house import BOOKS_SECONDS, PRICES


def check(house, books, served, budget_nano):
    """Figures, and complaints."""
    complaints = list(books.odd[:5])
    verify = house.try_run("ledger", "verify", "--deep", seconds=BOOKS_SECONDS)
    if verify.returncode != 0:
        complaints.append(f"the ledger does not verify: {verify.stdout}{verify.stderr}")
    began = time.monotonic()
    replay = house.try_run("drill", "replay", seconds=BOOKS_SECONDS)
    took = time.monotonic() - began
    replayed = json.loads(replay.stdout) if replay.stdout else {}
    if replay.returncode not in (0, 1) or "differ" not in replayed:
        complaints.append(f"the ledger cannot be replayed: {replay.stderr}")
    elif replayed["differ"]:
        complaints.append(f"the replay decides otherwise: {json.dumps(replayed['differences'])[:2000]}")
    # Whether the first half predicts the second is for the record: each spell of trouble comes once, in one of them.
    calibration = replayed.get("calibration", {})
    usage = house.run("usage", "--by", "channel", seconds=BOOKS_SECONDS)
    complaints += sums(books, usage)
    thrifty = charged(books, house, budget_nano, complaints)
    figures = {
        "decisions": books.decisions,
        "outcomes": books.outcomes,
        "verified": verify.returncode == 0,
        "replayed": {name: value for name, value in replayed.items() if isinstance(value, int)},
        "replay_seconds": round(took, 1),
        "calibration": calibration.get("verdict"),
        "calibration_why": calibration.get("why"),
        "usage_calls": usage["total"]["calls"],
        "usage_refused": usage["refused"],
        "usage_attempts": usage["total"]["attempts"],
        "usage_attempts_unknown": usage["total"]["attempts_unknown"],
        "usage_cost_nano": usage["total"]["cost_nano"],
        "budget_nano": budget_nano,
        "budget_charged_nano": thrifty,
        "bytes": os.path.getsize(os.path.join(house.folder, "ledger.db")),
        "served": served,
    }
    return figures, complaints


def sums(books, usage):
    """What `tieline usage` says, against sums of our own over the entries."""
    outcomes = [record.outcome for record in books.by_id.values() if record.outcome]
    attempts = [attempt for outcome in outcomes for attempt in outcome["attempts"]]
    known = [attempt for attempt in attempts if attempt["cost"] is not None]
    total, rows = usage["total"], [row["sum"] for row in usage["rows"]]
    due = sum(cost(attempt) for attempt in known if attempt["fault"] is None)
    free = sum(attempt["cost"] for attempt in known if attempt["fault"] is None)
    checks = {
        "calls": (total["calls"], sum(1 for outcome in outcomes if outcome["attempts"])),
        "calls and refused": (total["calls"] + usage["refused"], books.decisions),
        "in flight": (usage["in_flight"], 0),
        "unreadable": (usage["unreadable"], 0),
        "attempts": (total["attempts"], len(attempts)),
        "attempts of unknown cost": (total["attempts_unknown"], len(attempts) - len(known)),
        "cost": (int(total["cost_nano"]), sum(attempt["cost"] for attempt in known)),
        "cost of the rows": (sum(int(row["cost_nano"]) for row in rows), int(total["cost_nano"])),
        "attempts of the rows": (sum(row["attempts"] for row in rows), total["attempts"]),
        "input tokens": (total["tokens"]["input"], sum(attempt["usage"][0] for attempt in attempts if attempt["usage"])),
        "output tokens": (total["tokens"]["output"], sum(attempt["usage"][1] for attempt in attempts if attempt["usage"])),
        "cost by tokens and prices": (free, due),
    }
    return [f"usage, {name}: {said}, and it is {own}" for name, (said, own) in checks.items() if said != own]


def cost(attempt):
    return sum(tokens * price for tokens, price in zip(attempt["usage"], PRICES[attempt["model"]]))


def charged(books, house, budget_nano, complaints):
    """What the key with a budget was charged: no more than it."""
    keys = house.key_ids["thrifty"]
    total = sum(record.outcome["charged"] for record in books.by_id.values() if record.key == keys and record.outcome)
    if total > budget_nano:
        complaints.append(f"a budget of {budget_nano} nano-USD was charged {total}")
    return total
