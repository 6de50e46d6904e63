"""Which calls are made: a seeded draw, so that a run can be made again. Each says in its prompt what channels do with it."""

import dataclasses
import random

PIECES, PIECE_BYTES = 12, 24
# Every call that pays no budget asks for so many tokens at most: its number, by which its decision is found in the ledger
# though its caller may have left without having seen an id.
NUMBER_BASE = 1_000_000
# What may be wrong before or within an answer of one channel; another channel serves, or goes on.
FAULTS = {
    "500": 6, "reset": 6, "cut": 6, "close": 4, "malformed": 4, "error-event": 4, "empty": 2, "page": 3, "silent": 1, "stall": 2,
    # Both keep their channel at rest for a second.
    "503": 0.2, "429": 0.2,
}
# What an application should not notice.
ODDITIES = {"junk": 3, "twice": 3, "unterminated": 3, "late": 3}
ORDINARY_POOLS = {"plain": 45, "resumed": 30, "pair": 15, "strict": 10}

# Of a thousand calls, so many of each kind.
KINDS = {
    "ordinary": 857,
    "leaves": 25,
    "leaves_waiting": 10,
    "slow": 7,
    "denied": 25,
    "held": 12,
    "thrifty": 25,
    "paced": 10,
    "narrow": 15,
    "fenced": 4,
    "unknown_pool": 3,
    "bad_body": 3,
    "nobody": 3,
    "large": 1,
}
KEYS = {
    "denied": "blocked", "held": "unknown", "thrifty": "thrifty", "paced": "paced", "narrow": "narrow", "fenced": "fenced",
    "nobody": "nobody",
}
# Callers that never read what they asked for: one in so many seconds.
STUCK_EVERY_SECONDS = 15


@dataclasses.dataclass(slots=True)
class Ask:
    """A call to be made."""

    number: int
    kind: str
    pool: str
    dialect: str
    stream: bool
    deeds: tuple
    pieces: int = PIECES
    piece_bytes: int = PIECE_BYTES
    pace_ms: int = 20
    # After which piece its caller leaves or pauses; after how many seconds of waiting it leaves.
    until_piece: int = 0
    until_seconds: float = 0.0
    counts_usage: bool = True

    @property
    def key(self):
        return KEYS.get(self.kind, "good")

    @property
    def max_tokens(self):
        return 64 if self.key in ("thrifty", "paced", "narrow") else NUMBER_BASE + self.number

    @property
    def prompt(self):
        deeds = "+".join(self.deeds)
        return f"soak/{self.number}/{self.pieces}x{self.piece_bytes}/{self.pace_ms}/{deeds}/ What is a tie line?"

    @property
    def text(self):
        """What a whole answer says."""
        return "".join(piece(self.number, place, self.piece_bytes) for place in range(self.pieces))


def piece(number, place, piece_bytes):
    return f"{number}.{place}.".ljust(piece_bytes, "x") + " "


class Mix:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def draw(self, number):
        kind = self.pick(KINDS)
        ask = Ask(
            number=number,
            kind=kind,
            pool=self.pick(ORDINARY_POOLS) if kind == "ordinary" else "plain",
            dialect=self.random.choice(("openai", "anthropic")),
            stream=self.random.random() < 0.65,
            deeds=self.deeds() if kind == "ordinary" else (),
            counts_usage=self.random.random() < 0.5,
        )
        match kind:
            case "leaves":
                ask.stream, ask.pace_ms, ask.until_piece = True, 40, self.random.randint(1, 6)
            case "leaves_waiting":
                ask.deeds, ask.until_seconds = ("late",), self.random.uniform(0.02, 0.3)
            case "slow":
                ask.stream, ask.pieces, ask.piece_bytes, ask.pace_ms = True, 100, 8_000, 0
                ask.until_piece = self.random.randint(0, 20)
            case "large":
                ask.pieces, ask.piece_bytes, ask.pace_ms = 100, 10_000, 0
            case "narrow":
                ask.stream, ask.pace_ms = True, 50
            case "fenced":
                ask.pool = "pair"
            case "unknown_pool":
                ask.pool = "nowhere"
        return ask

    def stuck(self, number):
        """64 MB, of which its caller reads nothing."""
        dialect = self.random.choice(("openai", "anthropic"))
        return Ask(number, "stuck", "brief", dialect, True, (), pieces=4_000, piece_bytes=16_000, pace_ms=0)

    def last(self, number):
        """A stream that is under way when the server is told to stop."""
        dialect = self.random.choice(("openai", "anthropic"))
        return Ask(number, "ordinary", "plain", dialect, True, (), pace_ms=200)

    def deeds(self):
        """One in twenty calls meets a fault, one in two hundred several, one in a thousand nothing else."""
        draw = self.random.random()
        if draw < 0.001:
            return tuple(self.random.choice(("500", "reset", "page")) for _ in range(3))
        if draw < 0.005:
            return self.pick(FAULTS), self.pick(FAULTS)
        if draw < 0.045:
            return (self.pick(FAULTS),)
        if draw < 0.06:
            return (self.pick(ODDITIES),)
        if draw < 0.062:
            return ("400",)
        return ()

    def pick(self, weights):
        return self.random.choices(tuple(weights), tuple(weights.values()))[0]
