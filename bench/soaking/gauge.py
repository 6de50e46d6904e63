"""What the server holds while it works: memory, descriptors, threads, series of metrics, once a second."""

import asyncio
import dataclasses
import os
import statistics
import time

EVERY_SECONDS = 1
METRICS_EVERY = 10
# Memory is flat if its median over the last fifth of the run is at most so much above that of the second fifth: what
# buffers, caches of the stores and the allocator's arenas move by from one fifth to the next while nothing grows. In ten
# minutes at 300 calls/s there are 108,000 calls between the middles of the two: 6 MiB are 58 bytes a call.
TOLERANCE_KIB = 6 * 1024
# For some three minutes memory rises to what this load takes: a shorter run says nothing of whether it stays there.
FLAT_SECONDS_LEAST = 300


@dataclasses.dataclass(slots=True)
class Sample:
    second: float
    rss_kib: int
    anon_kib: int
    descriptors: int
    threads: int


class Gauge:
    def __init__(self, house):
        self.house, self.pid = house, house.server.pid
        self.samples = []
        # Seconds and how many series the metrics had.
        self.series = []
        self.in_flight_max = 0

    def look(self, second):
        fields = {}
        with open(f"/proc/{self.pid}/status") as file:
            for line in file:
                name, _, value = line.partition(":")
                fields[name] = value.split()
        sample = Sample(
            second=round(second, 1),
            rss_kib=int(fields["VmRSS"][0]),
            anon_kib=int(fields["RssAnon"][0]),
            descriptors=self.descriptors(),
            threads=int(fields["Threads"][0]),
        )
        self.samples.append(sample)
        return sample

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    async def watch(self, seconds):
        """Look once a second, at fixed instants."""
        begin = time.monotonic()
        for number in range(int(seconds / EVERY_SECONDS)):
            await asyncio.sleep(max(begin + number * EVERY_SECONDS - time.monotonic(), 0))
            self.look(time.monotonic() - begin)
            if number % METRICS_EVERY == 0:
                metrics = await asyncio.to_thread(self.house.metrics)
                self.series.append((number, len(metrics)))
                self.in_flight_max = max(self.in_flight_max, int(metrics["tieline_calls_in_flight"]))

    def keep(self, path):
        """Write all samples down, a line each."""
        with open(path, "w") as file:
            file.write("second,rss_kib,anon_kib,descriptors,threads\n")
            for sample in self.samples:
                file.write(",".join(map(str, dataclasses.astuple(sample))) + "\n")

    def fifths(self, field):
        """The medians of a field over the fifths of the run."""
        values = [getattr(sample, field) for sample in self.samples]
        size = len(values) // 5
        return [round(statistics.median(values[place * size : (place + 1) * size])) for place in range(5)] if size else []

    def report(self):
        rss = self.fifths("rss_kib")
        return {
            "rss_kib_start": self.samples[0].rss_kib,
            "rss_kib_fifths": rss,
            "rss_kib_max": max(sample.rss_kib for sample in self.samples),
            "anon_kib_fifths": self.fifths("anon_kib"),
            "growth_kib": rss[4] - rss[1] if rss else None,
            "tolerance_kib": TOLERANCE_KIB,
            "long_enough": len(self.samples) * EVERY_SECONDS >= FLAT_SECONDS_LEAST,
            "descriptors_fifths": self.fifths("descriptors"),
            "descriptors_max": max(sample.descriptors for sample in self.samples),
            "threads_fifths": self.fifths("threads"),
            "series": [count for _, count in self.series],
            "in_flight_max": self.in_flight_max,
        }
