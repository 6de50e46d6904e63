"""Whether each call ended as it had to: what its caller saw, what its channels did and what the ledger says, joined.

Nothing is expected of chance: a fault is explained only by what a channel is known to have done with that very request, or
by a time in which nobody listened there. An error is explained only where each attempt failed so and all that may be made
were, or every other channel is known to have been out of reach at that moment: in trouble, resting at its own word, or with
its share of further attempts used up, which is counted here anew. An answer that broke off is explained only where the pool
does not go on with it, or nobody was left who could.
"""

import bisect
import collections
import json
import re

from .caller import HANG_SECONDS
from .house import ATTEMPTS_MAX, BRIEF_MS, POOLS, PRICES
from .mix import NUMBER_BASE

# The kinds of fault that the ledger may name for what a channel did.
FAULT_OF = {
    "400": {"client"},
    "429": {"rate"},
    "500": {"transient"},
    "503": {"overload"},
    "close": {"reset"},
    "cut": {"reset"},
    "empty": {"garbage"},
    "error-event": {"transient"},
    "malformed": {"garbage"},
    "page": {"garbage"},
    "reset": {"reset"},
    "silent": {"timeout"},
    "stall": {"timeout"},
}
HARMLESS = {"junk", "late", "ok", "twice", "unterminated"}
# Kinds of calls that are refused whatever channels do: the status, the code, whether there is a decision.
REFUSED = {
    "denied": ((403,), "denied", True),
    "held": ((403,), "held", True),
    "fenced": ((403,), "pool_forbidden", True),
    "unknown_pool": ((404,), "pool_unknown", True),
    "bad_body": ((400,), "body_not_json", True),
    "nobody": ((401,), "key_unknown", False),
}
# What a caller is told when no channel served it.
UNSERVED = ("answer_unreadable", "channels_busy", "channels_failed", "no_channel")
# Kinds that are served until a limit is reached.
LIMITED = {"thrifty": "budget_limit", "paced": "request_limit", "narrow": "concurrency_limit"}
# A timer of a busy machine, and the second in which calls over their limit are looked for.
LATE_US = 3_000_000
# A breaker stays open for at most so long after a channel's trouble has ended.
BREAKER_US = 20_000_000
# Channels that answer 429 or 503 ask to be left alone for a second.
REST_US = 1_200_000
# Of the attempts on a lane in so many buckets of time, a tenth may be further ones, and three, once any failed: as
# `crates/tieline-core/src/fleet/window.rs` has it. Calls that end in the same moment may be counted one way or the other.
BUCKET_US, BUCKETS, SHARE_PERCENT, SHARE_LEAST, SHARE_SLACK = 3_000_000, 4, 10, 3, 2
# Of each sort of finding so many are shown.
EXAMPLES_MAX = 3


class Visit:
    """One request, as its channel saw it."""

    __slots__ = ("act", "at", "by", "channel", "end", "ended_at", "input", "output", "resumes")

    def __init__(self, line):
        self.act, self.at, self.by, self.channel = line["act"], line["at"], line["by"], line["channel"]
        self.input, self.output, self.resumes = line["input"], line["output"], line["resumes"]
        self.end, self.ended_at = None, None


def visits(path):
    """The requests of each call, in the order in which they came."""
    by_call, open_ones = collections.defaultdict(list), {}
    with open(path) as file:
        for line in map(json.loads, file):
            place = (line["channel"], line["seen"])
            if line["t"] == "asked":
                open_ones[place] = visit = Visit(line)
                by_call[line["call"]].append(visit)
            elif place in open_ones:
                visit = open_ones.pop(place)
                visit.end, visit.ended_at = line["end"], line["at"]
    return by_call


class Record:
    """A call as the ledger has it."""

    __slots__ = ("at", "began", "id", "key", "number", "outcome", "plan")

    def __init__(self, decision):
        intake = decision["intake"]
        self.at, self.began, self.id, self.key = decision["at"], decision["began"], decision["id"], intake["key"]
        number = intake.get("output_tokens_max") or 0
        self.number = number - NUMBER_BASE if number >= NUMBER_BASE else None
        self.plan = [(row["channel"], row["model"], row["why"]) for row in decision["plan"]]
        self.outcome = None


class Books:
    """All calls of a ledger."""

    def __init__(self, entries):
        self.by_id, self.odd = {}, []
        self.decisions = self.outcomes = 0
        self.types = collections.Counter()
        for entry in entries:
            self.types[entry["t"]] += 1
            if entry["t"] == "tieline/decision/v1":
                self.decisions += 1
                if entry["id"] in self.by_id:
                    self.odd.append(f"{entry['id']} has two decisions")
                self.by_id[entry["id"]] = Record(entry)
            elif entry["t"] == "tieline/outcome/v1":
                self.outcomes += 1
                record = self.by_id.get(entry["id"])
                if record is None or record.outcome is not None:
                    self.odd.append(f"{entry['id']} has an outcome too many")
                else:
                    record.outcome = slim(entry)
        self.odd += [f"{id} has no outcome" for id, record in self.by_id.items() if record.outcome is None]


def slim(outcome):
    """What is looked at of an outcome."""
    attempts = [
        {
            "channel": attempt["channel"],
            "cost": int(attempt["cost_nano"]) if "cost_nano" in attempt else None,
            "dialled": attempt["dialled_at"],
            "ended": attempt["ended_at"],
            "fault": attempt.get("fault", {}).get("kind"),
            "model": attempt["model"],
            "resumes": attempt.get("resumes"),
            "usage": used(attempt.get("usage")),
        }
        for attempt in outcome["attempts"]
    ]
    return {
        "at": outcome["at"],
        "attempts": attempts,
        "charged": int(outcome.get("charged_nano", 0)),
        "code": outcome.get("code"),
        "result": outcome["result"],
        "usage": used(outcome.get("usage")),
    }


def plus(usages):
    return tuple(map(sum, zip(*usages)))


def used(usage):
    return None if usage is None else (usage["input"], usage["output"])


class Lanes:
    """What is known of each model on each channel over time: when it was asked, again or for the first time, and failed."""

    def __init__(self, books, by_call):
        self.first, self.again, self.bad = (collections.defaultdict(list) for _ in range(3))
        for record in books.by_id.values():
            for place, attempt in enumerate(record.outcome["attempts"] if record.outcome else ()):
                lane = attempt["channel"], attempt["model"]
                (self.again if place else self.first)[lane].append(attempt["dialled"])
                # What is the caller's fault, or a limit of ours, is no failure of the channel.
                if attempt["fault"] not in (None, "client", "rate"):
                    self.bad[lane].append(attempt["ended"])
        self.rests = collections.defaultdict(list)
        for visited in by_call.values():
            for visit in visited:
                if visit.act in ("429", "503"):
                    self.rests[visit.channel].append(visit.at)
        for times in (self.first, self.again, self.bad, self.rests):
            for instants in times.values():
                instants.sort()

    def is_barred(self, lane, at_us):
        """Whether further attempts there have used up their share."""
        since = (at_us // BUCKET_US - BUCKETS + 1) * BUCKET_US
        first, again, bad = (within(times[lane], since, at_us) for times in (self.first, self.again, self.bad))
        share = (first + again) * SHARE_PERCENT // 100 + SHARE_LEAST
        return bad > 0 and again + SHARE_SLACK >= share

    def rests_at(self, channel, at_us):
        return within(self.rests[channel], at_us - REST_US, at_us) > 0


def within(instants, since, until):
    return bisect.bisect_right(instants, until) - bisect.bisect_left(instants, since)


class Judge:
    def __init__(self, calls, books, by_call, spells):
        self.calls, self.books, self.visits, self.spells = calls, books, by_call, spells
        self.lanes = Lanes(books, by_call)
        self.tally, self.unexplained = collections.Counter(), collections.Counter()
        self.examples = []

    def judge(self):
        records = dict(self.match())
        for number, (ask, got) in self.calls.items():
            record = records.pop(number, None)
            try:
                what = self.one(ask, got, record, self.visits.pop(number, []))
            except Unexplained as why:
                self.complain(ask, got, record, str(why))
                what = "unexplained"
            self.tally[what] += 1
        for record in records.values():
            self.complain(None, None, record, "the ledger has a call that nobody made")
        for number in self.visits:
            self.complain(None, None, None, f"a channel was asked for call {number}, which nobody made")

    def match(self):
        """Number and record of each call: by the id that its caller was told, else by the number in the decision."""
        by_id = {got.call: number for number, (_, got) in self.calls.items() if got.call}
        for id, record in self.books.by_id.items():
            number = by_id.get(id, record.number)
            yield (number if number is not None else id), record

    def complain(self, ask, got, record, why):
        # Findings that differ in a number alone are of one sort.
        sort = re.sub(r"[0-9]+", "N", why)
        self.unexplained[sort] += 1
        if self.unexplained[sort] <= EXAMPLES_MAX:
            shown = {"why": why, "ask": repr(ask), "got": repr(got)}
            if record is not None:
                shown |= {"id": record.id, "plan": record.plan, "outcome": record.outcome}
            self.examples.append(shown)

    # === one call ===

    def one(self, ask, got, record, visited):
        """In which way it ended as it had to."""
        expect(got.end != "hung", f"it hung for {HANG_SECONDS} s")
        expect(got.end != "nothing", "its caller got no answer at all")
        expect(got.malformed == 0 or got.saw == "left", "an event or a body that is no JSON reached its caller")
        expect(got.code != "foreign", "its error is not in its caller's dialect")
        if ask.kind in REFUSED:
            return refused(ask, got, record, visited)
        if record is None:
            # Whoever leaves before there is a decision leaves nothing.
            expect(ask.kind == "leaves_waiting" and not visited, "it has no decision")
            return "left before it was decided"
        outcome = record.outcome
        expect(outcome is not None, "it has no outcome")
        self.attempts(outcome, visited, got)
        if ask.kind == "stuck":
            # It ends at its limit all the same, if no channel ends it before.
            took_us = outcome["at"] - record.began
            expect(took_us <= BRIEF_MS * 1000 + LATE_US, f"a caller who reads nothing held it for {took_us // 1000} ms")
            if outcome["code"] == "call_timeout":
                return "ended at its limit, for its caller read nothing"
        if outcome["result"] == "refused" and outcome["code"] == LIMITED.get(ask.kind):
            return limited(ask, got, outcome, visited)
        # A channel that dies between its stop and its usage leaves an answer that is whole, and that nobody counted. An
        # Anthropic message cannot leave the counts out, as the SDK reads them: there, and only there, they are 0.
        self.is_uncounted = ask.dialect == "anthropic" and bool(visited) and visited[-1].end == "killed"
        return getattr(self, outcome["result"])(ask, got, record)

    def attempts(self, outcome, visited, got):
        """Each attempt in the ledger is a request that a channel saw, with the fault that it was given, or one that it could
        not see; and no channel saw more."""
        expect(len(outcome["attempts"]) <= ATTEMPTS_MAX, "it has too many attempts")
        waiting = list(visited)
        for attempt in outcome["attempts"]:
            visit = waiting[0] if waiting and waiting[0].channel == attempt["channel"] else None
            fault = attempt["fault"]
            if visit is None:
                gone = outcome["result"] == "abandoned" and fault is None
                down = fault in ("connect", "reset") and self.is_troubled(attempt, "down")
                expect(gone or down, f"{attempt['channel']} never saw the attempt, whose fault is {fault}")
                continue
            waiting.pop(0)
            self.visited(attempt, visit, outcome["result"] == "abandoned" or got.saw == "left")
        expect(not waiting, f"channels saw {len(waiting)} requests that are no attempts")

    def visited(self, attempt, visit, has_left):
        fault, name = attempt["fault"], f"{attempt['channel']} did {visit.act}"
        if visit.end == "killed":
            fits = fault in ("connect", "reset") and self.is_troubled(attempt, "down")
            # What was whole before the connection broke is whole.
            fits = fits or (fault is None and (visit.act in HARMLESS or has_left))
        elif visit.act in HARMLESS:
            fits = fault is None
        else:
            fits = fault in FAULT_OF[visit.act] or (fault is None and has_left)
        expect(fits, f"{name}, and its attempt has the fault {fault}")
        if fault is None and visit.act in HARMLESS and visit.end == "complete" and not has_left:
            paid = (visit.input, visit.output)
            expect(attempt["usage"] == paid, f"{name} with usage {paid}, and the ledger says {attempt['usage']}")
            due = sum(tokens * price for tokens, price in zip(paid, PRICES[attempt["model"]]))
            expect(attempt["cost"] == due, f"an attempt costs {due} nano-USD, and the ledger says {attempt['cost']}")

    def is_troubled(self, attempt, deed):
        return any(
            spell.channel == attempt["channel"] and spell.deed == deed and spell.covers(attempt["ended"])
            for spell in self.spells
        )

    # === by the outcome that the ledger has ===

    def served(self, ask, got, record):
        outcome = record.outcome
        attempts = outcome["attempts"]
        if got.saw == "left":
            return "left with the whole answer on its way"
        expect(got.saw == "whole", f"the ledger says served, and its caller saw {got.saw}")
        expect(got.is_whole, f"an answer of {got.text_bytes} bytes was shown as whole")
        expect(got.terminated, "a whole answer came without its terminator")
        expect(attempts and attempts[-1]["fault"] is None, "it is served, and its last attempt failed")
        expect(attempts[-1]["model"] in POOLS[ask.pool]["models"], "a model answered that its pool has not")
        self.named(got, attempts)
        if got.usage is not None:
            # Of an answer put together, one part of which nobody counted, a caller is told what is known.
            known = outcome["usage"] or plus(attempt["usage"] for attempt in attempts if attempt["usage"])
            is_told = got.usage == known or (not known and self.is_uncounted and got.usage == (0, 0))
            expect(is_told, f"its caller was told of usage {got.usage}, the ledger has {known}")
        if any(attempt["resumes"] for attempt in attempts):
            return "served, gone on with by another channel"
        return "served" if len(attempts) == 1 else "served by another channel"

    def named(self, got, attempts):
        named = [attempt for attempt in attempts if attempt["channel"] == got.channel and attempt["model"] == got.model]
        expect(named, f"the answer names {got.model} on {got.channel}, which was not asked")

    def broken(self, ask, got, record):
        outcome = record.outcome
        attempts = outcome["attempts"]
        if got.saw == "left":
            return "left, and the answer broke off"
        expect(got.saw == "broken", f"the ledger says broken, and its caller saw {got.saw}")
        expect(got.end == "framed", "the connection broke in place of an error event")
        expect(got.code == outcome["code"] == "answer_cut", f"it broke off with {got.code}, in the ledger {outcome['code']}")
        expect(not got.terminated and not got.stop, "a broken answer says that it is whole")
        expect(got.is_beginning, "what came of a broken answer is no part of it")
        if POOLS[ask.pool].get("resume", "off") == "off":
            return "broken off, and said so"
        if len(attempts) == ATTEMPTS_MAX:
            return f"broken off, since {ATTEMPTS_MAX} attempts failed"
        self.nobody_left(record)
        return "broken off, for nobody was left to ask"

    def refused(self, ask, got, record):
        outcome = record.outcome
        attempts = outcome["attempts"]
        if got.saw == "left":
            return "left, and nothing could serve it"
        expect(got.saw == "error", f"the ledger says refused, and its caller saw {got.saw}")
        expect(got.code == outcome["code"], f"its caller was told {got.code}, and the ledger says {outcome['code']}")
        expect(outcome["code"] in UNSERVED, f"it was refused with {outcome['code']}")
        expect(all(attempt["fault"] for attempt in attempts), "it was refused, and not every attempt failed")
        if len(attempts) == ATTEMPTS_MAX:
            return f"refused, since {ATTEMPTS_MAX} attempts failed"
        self.nobody_left(record)
        return "refused, for nobody was left to ask"

    def relayed(self, ask, got, record):
        outcome = record.outcome
        expect(got.saw in ("error", "left"), f"the ledger says relayed, and its caller saw {got.saw}")
        expect(outcome["attempts"][-1]["fault"] == "client", "what was relayed is not the caller's fault")
        expect(got.saw == "left" or got.status == 400, f"a channel's 400 was relayed as {got.status}")
        return "told that its request is wrong, by the channel"

    def abandoned(self, ask, got, record):
        outcome = record.outcome
        expect(got.saw == "left", f"the ledger says that its caller left, who saw {got.saw}")
        expect(all(attempt["fault"] for attempt in outcome["attempts"][:-1]), "an attempt before the last did not fail")
        return "left"

    def lost(self, _ask, _got, _record):
        raise Unexplained("the ledger says that the process ended before the call")

    def nobody_left(self, record):
        """Every channel that was not asked was out of reach."""
        outcome = record.outcome
        asked = {(attempt["channel"], attempt["model"]) for attempt in outcome["attempts"]}
        for lane in ((channel, model) for channel, model, _ in record.plan):
            is_out = lane in asked or self.is_troubled_at(lane[0], outcome["at"])
            is_out = is_out or self.lanes.rests_at(lane[0], outcome["at"]) or self.lanes.is_barred(lane, outcome["at"])
            expect(is_out, f"{lane[1]} on {lane[0]} was left to ask")

    def is_troubled_at(self, channel, at_us):
        """Whether a channel was in trouble, or had been within what a breaker waits."""
        spells = (spell for spell in self.spells if spell.channel == channel)
        return any(spell.begin_us <= at_us <= spell.end_us + BREAKER_US for spell in spells)


class Unexplained(Exception):
    """A call did not end as it had to."""


def expect(holds, why):
    if not holds:
        raise Unexplained(why)


def refused(ask, got, record, visited):
    """Kinds that nothing serves."""
    statuses, code, is_recorded = REFUSED[ask.kind]
    expect(got.saw == "error" and got.status in statuses, f"expected {statuses}, and its caller saw {got.status}")
    expect(got.code == code, f"expected {code}, and its caller was told {got.code}")
    expect(not visited, "a channel was asked")
    expect((record is not None) == is_recorded, "it is recorded" if record else "it is not recorded")
    if record:
        outcome = record.outcome
        expect(outcome and outcome["result"] == "refused", "the ledger says otherwise")
        expect(outcome["code"] == code and not outcome["attempts"], f"the ledger says {outcome['code']}")
    expect(ask.kind != "held" or got.ticket, "it was held without a ticket")
    return f"refused: {code}"


def limited(ask, got, outcome, visited):
    code = LIMITED[ask.kind]
    expect(got.saw == "error" and got.status == 429, f"the ledger says refused, and its caller saw {got.saw} {got.status}")
    expect(got.code == code, f"the ledger says {code}, and its caller was told {got.code}")
    expect(not visited and not outcome["attempts"], "a channel was asked")
    expect(code == "concurrency_limit" or got.retry_after, "it does not say when to come back")
    return f"refused: {code}"
