//! Whether a drill says the truth: calls through a live server whose channel really dies at a random moment (and comes back
//! at another) end as the drill said from a record of the same calls with nothing gone.
//!
//! Nobody knows a moment better than two runs of the same calls agree on theirs, nor what a breaker's wait draws. So the
//! forecast is of several plays that differ in both: a call's fate is determined where all of them agree, and has to be
//! just that; of the others, how many are lost has to be in the stated range.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tieline_core::{Snapshot, Span, Tick};
use tieline_drill::{
    Element, ElementKind, Failure, Fate, FateKind, Forecast, Happening, Known, Rehearsal, Timeline, Traffic,
    TrafficReader, open_grid,
};
use tieline_ledger::Reader;
use tieline_note::Digest;
use tieline_testkit::{Act, Channel, Script};

use crate::folder::{Folder, Server};
use crate::http;

const CALLS: usize = 96;
const APART: Duration = Duration::from_millis(35);

/// What the moments of two runs may differ by beyond what their calls show: how long it takes to kill a channel.
const MARGIN: Span = Span::from_ms(20);

/// Runs whose moments differ by more say little; they are made again.
const APART_MAX: Span = Span::from_ms(250);

/// The limit of output tokens of the first call; each next has one more, which tells them apart.
const FIRST: u32 = 1_000;

/// Draws of chance for each timeline: what comes of one draw in a thousand is to be seen in the eight of them.
const SEEDS: u64 = 125;

/// How much longer than in the record a channel that is back may take, in thousandths: on a busy machine it does.
const SLOWER: u32 = 2_000;
const SLOWEST: u32 = 4_000;

const POOLS: &str = r#"
[models.m2]
lab = "acme"
weights = "open"
price = { input = "1", output = "2" }

[models.m3]
lab = "acme"
weights = "open"
price = { input = "1", output = "2" }

[pool.chat]
models = ["m1"]
choice = "in_order"

[pool.alone]
models = ["m2"]

[pool.balanced]
models = ["m3"]
"#;

/// Which pool each call asks, and whether it streams.
const ASKED: [(&str, bool); 5] = [
    ("chat", false),
    ("alone", false),
    ("balanced", true),
    ("chat", true),
    ("alone", true),
];

/// When the left channel died and came back.
#[derive(Clone, Copy, Debug)]
struct Outage {
    died: Tick,
    returned: Tick,
}

/// The calls of a ledger, and the grid that they were decided under.
struct Recorded {
    grid: Arc<Snapshot>,
    /// What each call took, as its caller saw it, in turn.
    took: Vec<Duration>,
    traffic: Traffic,
}

impl Recorded {
    /// What is in the order of arrival, in the order in which the calls were to be made.
    fn in_turn<T>(&self, of_arrivals: impl IntoIterator<Item = T>) -> Vec<T> {
        let turns = self.traffic.calls.iter().map(|call| call.output_max().unwrap());
        let mut all: Vec<(u32, T)> = turns.zip(of_arrivals).collect();
        all.sort_by_key(|(turn, _)| *turn);
        assert!(all.iter().map(|(turn, _)| *turn).eq((FIRST..).take(CALLS)));
        all.into_iter().map(|(_, one)| one).collect()
    }
}

#[test]
fn a_channel_that_dies_does_what_the_drill_said() {
    let cuts = if std::env::var_os("TIELINE_SLOW").is_some() {
        20
    } else {
        3
    };
    let (before, _) = run(None);
    let rehearsal = Rehearsal::new(&before.grid, &before.traffic, Known::default());
    assert_eq!(rehearsal.base().carried, CALLS as u64, "{:?}", rehearsal.base());
    for cut in 0..cuts {
        let random = RandomState::new().hash_one(cut);
        let (after, outage, moved, differ) = alike(&before, random);
        let forecast = forecast(&rehearsal, outage, moved, differ);
        compare(&forecast, (&before, &rehearsal), &after, (random, outage, differ));
    }
}

/// The same calls with an outage, from runs until one is like that of the record; by how much its clock is later than the
/// record's, and by how much single moments differ from that.
fn alike(before: &Recorded, random: u64) -> (Recorded, Outage, i64, Span) {
    for _ in 0..5 {
        let (after, outage) = run(Some(random));
        let outage = outage.unwrap();
        let arrivals = |recorded: &Recorded| recorded.in_turn(recorded.traffic.arrivals());
        let (then, now) = (arrivals(before), arrivals(&after));
        let later =
            |(then, now): (&Tick, &Tick)| i64::try_from(now.0).unwrap() - i64::try_from(then.0).unwrap();
        let offsets: Vec<i64> = then.iter().zip(&now).map(later).collect();
        let mut sorted = offsets.clone();
        sorted.sort_unstable();
        let moved = sorted[CALLS / 2];
        let differ = offsets
            .iter()
            .map(|offset| (offset - moved).unsigned_abs())
            .max()
            .unwrap();
        // How much longer or shorter answers took, as far as the outage has no part in it.
        let took = before.took.iter().zip(&after.took).zip(&now);
        let longer = took
            .filter(|((_, took), arrived)| arrived.plus(Span(micros(**took))) < outage.died)
            .map(|((then, now), _)| micros(then.abs_diff(*now)))
            .max();
        let differ = Span(differ + longer.unwrap());
        if differ <= APART_MAX {
            return (after, outage, moved, Span(differ.0 + MARGIN.0));
        }
    }
    panic!("five runs of the same calls came out at other times: this machine is too busy to tell");
}

fn forecast(rehearsal: &Rehearsal<'_>, outage: Outage, moved: i64, differ: Span) -> Forecast {
    let left = Element {
        kind: ElementKind::Channel,
        name: "left".to_owned(),
    };
    let at = |tick: Tick, by: i64| Tick(tick.0.checked_add_signed(by - moved).unwrap());
    let differ = i64::try_from(differ.0).unwrap();
    let mut timelines = Vec::new();
    // A channel may be slower, too, than in the record: who probes it keeps others waiting for so long.
    for (early, late, time) in [
        (0, 0, 1_000),
        (-differ, differ, 1_000),
        (differ, -differ, 1_000),
        (-differ, -differ, 1_000),
        (differ, differ, 1_000),
        (-differ, differ, SLOWER),
        (differ, -differ, SLOWER),
        (0, 0, SLOWEST),
    ] {
        let mut timeline = Timeline::default();
        let (died, returned) = (at(outage.died, early), at(outage.returned, late));
        let slow = Happening::Slow {
            channel: "left".into(),
            time,
        };
        timeline
            .at(died, Happening::Out(left.clone(), Failure::Refused))
            .unwrap();
        timeline.at(returned, Happening::Back(left.clone())).unwrap();
        timeline.at(returned, slow).unwrap();
        timelines.push(timeline);
    }
    let plays: Vec<(&Timeline<'_>, u64)> = timelines
        .iter()
        .flat_map(|timeline| (0..SEEDS).map(move |seed| (timeline, seed)))
        .collect();
    rehearsal.forecast(&plays)
}

fn compare(
    forecast: &Forecast,
    (before, rehearsal): (&Recorded, &Rehearsal<'_>),
    after: &Recorded,
    about: (u64, Outage, Span),
) {
    let (said, was) = (
        before.in_turn(&forecast.calls),
        after.in_turn(after.traffic.fates()),
    );
    let told = |fate: &Fate| match &fate.by {
        Some((channel, model)) => format!("{:?} by {channel} for {model}", fate.how),
        None => format!("{:?}", fate.how),
    };
    let arrivals = after.in_turn(after.traffic.arrivals());
    let wrong: Vec<String> = (said.iter().zip(&was).zip(arrivals).enumerate())
        .filter_map(|(nth, ((said, was), at))| {
            let said = said.as_ref().filter(|said| *said != was)?;
            let since = i128::from(at.0) - i128::from(about.1.died.0);
            let (said, was) = (told(said), told(was));
            Some(format!("{nth}, {since} us after: said {said}, was {was}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}\n{about:?}", wrong.join("\n"));
    let base = before.in_turn(rehearsal.fates(&Timeline::default(), 0));
    let served = |fate: &Fate| fate.how == FateKind::Served;
    let lost = base
        .iter()
        .zip(&was)
        .filter(|(before, after)| served(before) && !served(after));
    let lost = lost.count() as u64;
    let (least, most) = (forecast.lost_min, forecast.lost_max);
    assert!(
        (least..=most).contains(&lost),
        "{lost} lost, {least} to {most} said\n{about:?}"
    );
    // Neither is a forecast that leaves everything open, nor an outage that does nothing.
    let determined = forecast.determined();
    assert!(determined * 3 > CALLS, "{determined} determined, {about:?}");
    let known = said
        .iter()
        .zip(&base)
        .filter_map(|(said, before)| Some((said.as_ref()?, before)));
    assert!(
        known.filter(|(said, before)| said != before).count() > 0 && most > 0,
        "{about:?}"
    );
}

// === the calls ===

/// Serve, make the calls, and read the record. The left channel dies at a moment drawn from `random`.
fn run(random: Option<u64>) -> (Recorded, Option<Outage>) {
    let act = || {
        Act::auto()
            .wait_before_head(Duration::from_millis(20))
            .drip(160, Duration::from_millis(4))
    };
    let folder = Folder::with(Script::new().otherwise(act()), Script::new().otherwise(act()));
    folder.edit("tieline.toml", "\n[pool.chat]\nmodels = [\"m1\"]\n", POOLS);
    let left = r#"models = { m1 = { name = "left-m1", price = "list" } }"#;
    let more = r#"models = { m1 = { name = "left-m1", price = "list" }, m2 = { name = "left-m2", price = "list" }, m3 = { name = "left-m3", price = "list" } }"#;
    folder.edit("tieline.toml", left, more);
    let right = r#"models = { m1 = { name = "right-m1", price = { input = "3", output = "6" } } }"#;
    let more = r#"models = { m1 = { name = "right-m1", price = { input = "3", output = "6" } }, m3 = { name = "right-m3", price = "list" } }"#;
    folder.edit("tieline.toml", right, more);
    let server = folder.serve();
    let (took, outage) = std::thread::scope(|scope| {
        let begun = Instant::now();
        let calls: Vec<_> = (0..CALLS)
            .map(|nth| {
                let server = &server;
                scope.spawn(move || {
                    let due = begun + APART * u32::try_from(nth).unwrap();
                    wait_until(due);
                    call(server, nth);
                    due.elapsed()
                })
            })
            .collect();
        let outage = random.map(|random| end_and_return(&folder.left, begun, random));
        let took = calls.into_iter().map(|call| call.join().unwrap()).collect();
        (took, outage)
    });
    server.stop();
    (read(folder.path(), took), outage)
}

/// The channel dies after a quarter to a half of the calls, and is away for a tenth to a third of them.
fn end_and_return(channel: &Channel, begun: Instant, random: u64) -> Outage {
    let all = APART * u32::try_from(CALLS).unwrap();
    let part = |of: u64, from: u32, to: u32| {
        all * (from + u32::try_from(of % 1_000).unwrap() * (to - from) / 1_000) / 1_000
    };
    let dies = begun + part(random, 250, 500);
    wait_until(dies);
    channel.kill().unwrap();
    let died = now();
    wait_until(dies + part(random / 1_000, 100, 330));
    channel.resume().unwrap();
    Outage {
        died,
        returned: now(),
    }
}

fn call(server: &Server, nth: usize) {
    let (model, streams) = ASKED[nth % ASKED.len()];
    let turn = FIRST + u32::try_from(nth).unwrap();
    let body = format!(
        r#"{{"model":"{model}","stream":{streams},"max_tokens":{turn},"messages":[{{"role":"user","content":"What is a tie line?"}}]}}"#
    );
    let authorization = format!("Bearer {}", server.key);
    let headers = [("authorization", authorization.as_str())];
    http::post(&server.gateway, "/v1/chat/completions", &headers, &body);
}

/// Pacing, and no condition: calls come when they come.
fn wait_until(at: Instant) {
    while let Some(left) = at
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        std::thread::park_timeout(left);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap()
}

fn now() -> Tick {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Tick(u64::try_from(since.as_micros()).unwrap())
}

fn read(dir: &Path, took: Vec<Duration>) -> Recorded {
    let reader = Reader::open(dir).unwrap();
    let mut traffic = TrafficReader::new();
    let mut grid = None;
    let each = |index: u64, entry: &[u8]| {
        traffic.entry(index, entry);
        let entry: serde_json::Value = serde_json::from_slice(entry).unwrap();
        grid = grid.take().or_else(|| Some(entry["grid"].as_str()?.to_owned()));
        Ok::<(), tieline_ledger::LedgerError>(())
    };
    reader.for_each(0..reader.size().unwrap(), each).unwrap();
    let digest: Digest = grid.unwrap().parse().unwrap();
    let blob = reader.blob(&digest).unwrap().unwrap();
    Recorded {
        grid: Arc::new(open_grid(digest.0, &blob).unwrap()),
        took,
        traffic: traffic.finish(),
    }
}
