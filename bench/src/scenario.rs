//! The scenarios by name.

use std::hint::black_box;

use bytes::Bytes;
use tempfile::TempDir;
use tieline_core::call::Step;
use tieline_core::{Call, Dialect, Effect, Input, Ruling};
use tieline_drill::{BenchSize, Known, Rehearsal, Timeline, bench_grid, bench_snapshot, bench_traffic};
use tieline_ledger::Log;
use tieline_note::jcs;
use tieline_wire::{Exchange, Far, Out, Provider};

use crate::bodies;
use crate::verdict::Verdicts;
use crate::world::{NOW, SetUp, World};

/// Their names, and what one run of each is.
pub const SCENARIOS: [(&str, &str); 9] = [
    (
        "call_1kb",
        "a call of 1 KB between equal dialects, from the scan of its body to its two entries",
    ),
    ("prompt_200kb", "the same with a prompt of 200 KB"),
    ("stream_50", "the same with an answer streamed in 50 chunks"),
    (
        "cross_dialect",
        "a call of 1 KB from OpenAI's dialect to Anthropic's and back",
    ),
    (
        "decision",
        "a decision alone, from the intake to the dial, verdicts cached",
    ),
    (
        "drill_1000",
        "a play of a drill: 1,000 calls decided from arrival to end, and what becomes of each counted",
    ),
    (
        "ledger_256",
        "an append of 256 entries of 1 KB: hashes, tiles, signature, SQLite",
    ),
    (
        "verdict_cached",
        "a verdict that three directives touch, from the cache",
    ),
    (
        "verdict_made",
        "a verdict made from nothing, with every shipped pack enforcing",
    ),
];

/// Something that can be done again and again.
pub trait Scenario {
    fn run(&mut self) -> SetUp<()>;
}

/// Set a scenario up by its name.
pub fn scenario(name: &str) -> SetUp<Box<dyn Scenario>> {
    let kilobyte = bodies::openai_request("same", 1_024, false);
    Ok(match name {
        "call_1kb" => Box::new(Whole::same(kilobyte)?),
        "prompt_200kb" => Box::new(Whole::same(bodies::openai_request("same", 200 << 10, false))?),
        "stream_50" => Box::new(Stream::new()?),
        "cross_dialect" => Box::new(Whole::cross()?),
        "decision" => Box::new(Decision { world: World::new()? }),
        "drill_1000" => Box::new(Play::new()?),
        "ledger_256" => Box::new(Batch::new()?),
        "verdict_cached" => Box::new(Verdicts::touched()?),
        "verdict_made" => Box::new(Verdicts::made()?),
        _ => return Err(format!("there is no scenario `{name}`").into()),
    })
}

// === whole answers ===

/// Calls whose answers come whole.
#[derive(Debug)]
pub struct Whole {
    answer: Bytes,
    body: Bytes,
    far: Far<'static>,
    world: World,
}

impl Whole {
    /// From OpenAI's dialect to the same; the body is for the pool `same`.
    pub fn same(body: Bytes) -> SetUp<Self> {
        let far = Far {
            dialect: Dialect::OpenaiChat,
            model_name: "far-m",
            output_tokens_injected: None,
            provider: Provider::OpenaiCompatible,
        };
        Ok(Self {
            answer: bodies::openai_answer(),
            body,
            far,
            world: World::new()?,
        })
    }

    fn cross() -> SetUp<Self> {
        let body = bodies::openai_request("cross", 1_024, false);
        let provider = Provider::AnthropicCompatible;
        let far = Far {
            dialect: Dialect::AnthropicMessages,
            model_name: "far-n",
            output_tokens_injected: None,
            provider,
        };
        Ok(Self {
            answer: bodies::anthropic_answer(),
            body,
            far,
            world: World::new()?,
        })
    }
}

impl Whole {
    /// One call; `record` sees it at each effect that writes an entry.
    pub fn drive(&mut self, record: &mut dyn FnMut(&Call, &Effect)) -> SetUp<()> {
        let (mut call, mut exchange) = begin(&mut self.world, &self.body, &self.far, record)?;
        self.world.feed(&mut call, Input::Opened { status: 200 }, record);
        let answer = exchange
            .buffered(&self.answer)
            .map_err(|kind| format!("{kind:?}"))?;
        for mark in answer.marks {
            self.world.feed(&mut call, Input::Mark(mark), record);
        }
        self.world.feed(&mut call, Input::End { complete: true }, record);
        black_box(answer.body);
        finish(&mut self.world, call)
    }
}

impl Scenario for Whole {
    fn run(&mut self) -> SetUp<()> {
        self.drive(&mut write)
    }
}

// === a stream ===

struct Stream {
    body: Bytes,
    chunks: Vec<Bytes>,
    out: Out,
    world: World,
}

impl Stream {
    fn new() -> SetUp<Self> {
        Ok(Self {
            body: bodies::openai_request("same", 1_024, true),
            chunks: bodies::openai_stream(),
            out: Out::default(),
            world: World::new()?,
        })
    }
}

impl Scenario for Stream {
    fn run(&mut self) -> SetUp<()> {
        let far = Far {
            dialect: Dialect::OpenaiChat,
            model_name: "far-m",
            output_tokens_injected: None,
            provider: Provider::OpenaiCompatible,
        };
        let (mut call, mut exchange) = begin(&mut self.world, &self.body, &far, &mut write)?;
        self.world
            .feed(&mut call, Input::Opened { status: 200 }, &mut write);
        for chunk in &self.chunks {
            exchange.feed(chunk.clone(), &mut self.out);
            for bytes in self.out.bytes.drain(..) {
                black_box(bytes);
            }
            for mark in self.out.marks.drain(..) {
                self.world.feed(&mut call, Input::Mark(mark), &mut write);
            }
        }
        exchange.end(&mut self.out);
        let complete = self.out.complete;
        self.out.clear();
        self.world.feed(&mut call, Input::End { complete }, &mut write);
        finish(&mut self.world, call)
    }
}

// === a decision ===

struct Decision {
    world: World,
}

impl Scenario for Decision {
    fn run(&mut self) -> SetUp<()> {
        let call = self.world.decide("same", 1_024, false);
        if call.attempts() != 1 {
            return Err("the decision did not dial".into());
        }
        self.world.end(call);
        Ok(())
    }
}

// === a drill ===

struct Play {
    nothing: Timeline<'static>,
    rehearsal: Rehearsal<'static>,
}

impl Play {
    fn new() -> SetUp<Self> {
        let size = BenchSize {
            parties: 100,
            ..BenchSize::of_day(1_000)
        };
        let snapshot = bench_snapshot(bench_grid(size))?;
        let traffic = bench_traffic(size, &snapshot, &|_, _, _| Ruling::Allow);
        // A rehearsal borrows its calls, and a scenario lasts as long as the process.
        let traffic = Box::leak(Box::new(traffic));
        Ok(Self {
            nothing: Timeline::default(),
            rehearsal: Rehearsal::new(&snapshot, traffic, Known::default()),
        })
    }
}

impl Scenario for Play {
    fn run(&mut self) -> SetUp<()> {
        let consequence = self.rehearsal.play(&self.nothing);
        if consequence.tally.kept != self.rehearsal.base().carried {
            return Err(format!("nothing is gone, and it comes to {:?}", consequence.tally).into());
        }
        Ok(())
    }
}

// === the ledger ===

/// Entries of one batch: a bundle.
const BATCH: usize = 256;

struct Batch {
    entries: Vec<Vec<u8>>,
    log: Log,
    /// In memory where there is such a folder: a disk's speed is no instruction.
    _dir: TempDir,
}

impl Batch {
    fn new() -> SetUp<Self> {
        const ORIGIN: &str = "tieline.example/bench";
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        let signer = tieline_ledger::create_key(dir.path(), ORIGIN, &[7; 32])?;
        let log = Log::open(dir.path(), ORIGIN, signer)?;
        let entry = |n: usize| {
            let head =
                format!(r#"{{"at":1781284860000000,"id":"call-{n:012}","t":"tieline/decision/v1","x":""#);
            let rest = "x".repeat(1_022 - head.len());
            format!("{head}{rest}\"}}").into_bytes()
        };
        Ok(Self {
            entries: (0..BATCH).map(entry).collect(),
            log,
            _dir: dir,
        })
    }
}

impl Scenario for Batch {
    fn run(&mut self) -> SetUp<()> {
        self.log.append(&self.entries, NOW.0)?;
        Ok(())
    }
}

// === what calls share ===

fn begin(
    world: &mut World,
    body: &Bytes,
    far: &Far<'_>,
    record: &mut dyn FnMut(&Call, &Effect),
) -> SetUp<(Call, Exchange)> {
    let head = tieline_wire::scan(Dialect::OpenaiChat, body).map_err(|problem| format!("{problem:?}"))?;
    let mut call = world.decide(&head.model, body.len() as u64, head.stream);
    record(&call, &Effect::Record { strict: false });
    let prepared = tieline_wire::prepare(Dialect::OpenaiChat, body, &head, far);
    let (outgoing, exchange) = prepared.map_err(|problem| format!("{problem:?}"))?;
    black_box(outgoing.body);
    world.drain(&mut call, record);
    Ok((call, exchange))
}

fn finish(world: &mut World, call: Call) -> SetUp<()> {
    if call.ending() != Some(&tieline_core::call::Ending::Served) {
        return Err(format!("the call ended as {:?}", call.ending()).into());
    }
    world.end(call);
    Ok(())
}

fn write(call: &Call, effect: &Effect) {
    black_box(encode(call, effect));
}

/// The bytes of an entry as the gateway writes it.
pub fn encode(call: &Call, effect: &Effect) -> Option<Vec<u8>> {
    match effect {
        Effect::Record { .. } => jcs::to_vec(&call.decision_entry::<&[Step]>()).ok(),
        _ => jcs::to_vec(&call.outcome_entry::<&[Step]>()).ok(),
    }
}
