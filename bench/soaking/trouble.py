"""The timetable of a minute: which channel misbehaves when. Each minute it is another channel's turn.

At most two channels are in trouble at once, and a breaker may stay open for 16 s after; four of the five serve each model, so
that there is always somebody to ask.
"""

import asyncio
import dataclasses
import time

from .house import CHANNELS, Impossible

MINUTE = 60
# The place of the channel, from and to which second, what it does, with which share of its requests.
TIMETABLE = (
    (0, 3, 10, "500", 100),
    (1, 10, 19, "cut", 40),
    (2, 17, 24, "429", 100),
    (3, 22, 31, "down", 100),
    (4, 29, 36, "silent", 100),
    (0, 33, 41, "late", 100),
    (1, 40, 48, "malformed", 40),
    (2, 45, 53, "out", 100),
    (3, 51, 57, "page", 50),
)
RELOAD_AT = 20
# A channel in trouble of another sort than its script's shows it for a moment longer.
MARGIN_US = 1_500_000


@dataclasses.dataclass(slots=True)
class Spell:
    """A channel's time of trouble, as it really was."""

    channel: str
    deed: str
    begin_us: int
    end_us: int

    def covers(self, at_us, margin_us=MARGIN_US):
        return self.begin_us - margin_us <= at_us <= self.end_us + margin_us


class Troubles:
    """Plays the timetable on a running house."""

    def __init__(self, house, seconds):
        self.house, self.seconds = house, seconds
        self.spells = []
        self.reloads = 0

    async def play(self):
        names = list(CHANNELS)
        begin = time.monotonic()
        acts = []
        for minute in range(-(-self.seconds // MINUTE)):
            start = minute * MINUTE
            for place, first, last, deed, percent in TIMETABLE:
                channel = names[(place + minute) % len(names)]
                acts.append(self.spell(begin + start + first, begin + start + last, channel, deed, percent))
            acts.append(self.reload(begin + start + RELOAD_AT, minute + 1))
        async with asyncio.TaskGroup() as group:
            for act in acts:
                group.create_task(act)

    async def spell(self, first, last, channel, deed, percent):
        if first >= time.monotonic() + self.seconds:
            return
        await until(first)
        spell = Spell(channel, deed, now_us(), 2**62)
        self.spells.append(spell)
        match deed:
            case "down":
                await self.order(f"{channel} down")
                await until(last)
                await self.order(f"{channel} up")
            case "out":
                await asyncio.to_thread(self.house.run, "cut", channel)
                await until(last)
                await asyncio.to_thread(self.house.run, "restore", channel)
            case _:
                await self.order(f"{channel} trouble {deed} {percent}")
                await until(last)
                await self.order(f"{channel} well")
        spell.end_us = now_us()

    async def reload(self, at, number):
        """By the file alone, and with a signal, in turn."""
        await until(at)
        self.house.configure(number)
        if number % 2:
            self.house.hang_up()
        self.reloads += 1

    async def order(self, order):
        await asyncio.to_thread(self.house.channels.order, order)


async def until(instant):
    await asyncio.sleep(max(instant - time.monotonic(), 0))


def now_us():
    return time.time_ns() // 1000
