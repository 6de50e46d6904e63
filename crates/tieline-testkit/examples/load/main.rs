//! The load of benchmarks: keep-alive connections that ask the same thing over and over, and a report.
//!
//! `load --url http://HOST:PORT/PATH [--connections 64] [--seconds 5] [--warmup 0] [--calls N] [--body FILE]
//! [--header 'k: v']… [--stream] [--rate R] [--sweep-us N] [--json]`. Closed loop: each connection asks again when it is
//! answered; with `--sweep-us` all are read once in so many microseconds, at less CPU per chunk (`sweep`).
//! With `--rate` an open loop of R calls/s in all: a call that finds its connection busy counts from the moment it
//! was due, so a slow server cannot hide behind a polite client. Every answer must be a 200 and whole; with
//! `--stream` it must also hold the dialect's last event. Latency runs from the write to the last byte, first byte to
//! the first of the body. Exit 0: all answers were; 1: some were not; 2: wrong options or nothing answers there.
//! Bounds: one buffer per connection, no allocation per call.
#![expect(
    clippy::cast_precision_loss,
    reason = "counts and nanoseconds of a run stay far below 2^52"
)]

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::options::Options;
use crate::reply::{Body, Fault, Head};
use crate::report::{Answer, Report};

mod options;
mod reply;
mod report;
mod sweep;
#[cfg(test)]
mod tests;

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| Ok((run(&options)?, options))) {
        Err(complaint) => {
            // Standard error may be closed; the exit code says it, too.
            let _ = writeln!(io::stderr(), "load: {complaint}");
            ExitCode::from(2)
        }
        Ok((report, options)) => {
            let text = if options.is_json {
                report.json(&options)
            } else {
                report.text(&options)
            };
            let _ = writeln!(io::stdout(), "{text}");
            ExitCode::from(u8::from(!report.errors.is_empty()))
        }
    }
}

fn run(options: &Options) -> Result<Report, String> {
    if let Some(every) = options.sweep {
        let plan = Plan::new(options, Instant::now());
        let addresses = vec![options.address; usize::try_from(options.connections).unwrap_or(usize::MAX)];
        let mut report = sweep::run(plan, &options.request(), &addresses, every)?;
        report.elapsed = plan.elapsed();
        return Ok(report);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let report = Rc::new(RefCell::new(Report::new()));
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let request: Rc<[u8]> = options.request().into();
        let mut streams = Vec::new();
        for _ in 0..options.connections {
            let stream = connect(options.address).await;
            streams.push(stream.map_err(|error| format!("no connection to {}: {error}", options.address))?);
        }
        let plan = Plan::new(options, Instant::now());
        let mut tasks = Vec::new();
        for (place, stream) in streams.into_iter().enumerate() {
            let client = Client {
                address: options.address,
                stream,
                request: Rc::clone(&request),
                buffer: vec![0; READ_BYTES],
                tail: Tail::default(),
                report: Rc::clone(&report),
            };
            // Connections take turns evenly within one gap.
            let offset = plan.gap.map_or(Duration::ZERO, |gap| {
                gap.mul_f64(place as f64 / f64::from(options.connections))
            });
            tasks.push(tokio::task::spawn_local(client.run(plan, offset)));
        }
        for task in tasks {
            task.await.map_err(|error| format!("a client ended: {error}"))?;
        }
        let mut report = report.take();
        report.elapsed = plan.elapsed();
        Ok(report)
    })
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

// === one connection ===

#[derive(Clone, Copy)]
struct Plan {
    begin: Instant,
    measure_from: Instant,
    end: Instant,
    calls_max: u64,
    is_stream: bool,
    /// Between two calls of one connection, in the open loop.
    gap: Option<Duration>,
}

impl Plan {
    fn new(options: &Options, begin: Instant) -> Self {
        Self {
            begin,
            measure_from: begin + options.warmup,
            end: begin + options.warmup + options.measured,
            calls_max: options.calls_max,
            is_stream: options.is_stream,
            gap: options
                .rate
                .map(|rate| Duration::from_secs_f64(f64::from(options.connections) / rate)),
        }
    }

    /// How much of the measured time is over.
    fn elapsed(&self) -> Duration {
        Instant::now()
            .min(self.end)
            .saturating_duration_since(self.measure_from)
    }
}

struct Client {
    address: SocketAddr,
    stream: TcpStream,
    request: Rc<[u8]>,
    buffer: Vec<u8>,
    tail: Tail,
    report: Rc<RefCell<Report>>,
}

impl Client {
    async fn run(mut self, plan: Plan, offset: Duration) {
        let mut due = plan.begin + offset;
        let mut failures = 0;
        loop {
            let mut start = Instant::now();
            if let Some(gap) = plan.gap {
                if start < due {
                    // The timer's rounding is the generator's fault, not the server's: count from the wake-up.
                    tokio::time::sleep_until(due.into()).await;
                    start = Instant::now();
                } else {
                    start = due;
                }
                due += gap;
            }
            if Instant::now() >= plan.end || !self.report.borrow_mut().may_start(plan.calls_max) {
                return;
            }
            let outcome = self.call(start, plan.is_stream).await;
            let now = Instant::now();
            let is_measured = now >= plan.measure_from && now < plan.end;
            let is_open = matches!(&outcome, Ok(answer) if answer.keep_alive);
            // A status is an answer; only what is none says that the server is gone.
            let is_answer = matches!(&outcome, Ok(_) | Err(Fault::Status(_)));
            failures = if is_answer { 0 } else { failures + 1 };
            self.report
                .borrow_mut()
                .record(&outcome, now.saturating_duration_since(start), is_measured);
            if failures > FAILURES_MAX {
                return;
            }
            if !is_open {
                match connect(self.address).await {
                    Ok(stream) => self.stream = stream,
                    Err(_) => failures += 1,
                }
            }
        }
    }

    async fn call(&mut self, start: Instant, is_stream: bool) -> Result<Answer, Fault> {
        self.stream
            .write_all(&self.request)
            .await
            .map_err(|_| Fault::Write)?;
        let mut filled = 0;
        let (head, head_bytes) = loop {
            let room = self
                .buffer
                .get_mut(filled..)
                .filter(|room| !room.is_empty())
                .ok_or(Fault::Malformed)?;
            let count = self.stream.read(room).await.map_err(|_| Fault::Incomplete)?;
            if count == 0 {
                return Err(Fault::Incomplete);
            }
            filled += count;
            if let Some(head) = Head::parse(self.buffer.get(..filled).unwrap_or_default())? {
                break head;
            }
        };
        let mut answer = Answer {
            first_byte: if filled > head_bytes {
                Some(start.elapsed())
            } else {
                None
            },
            keep_alive: head.keep_alive,
            bytes: filled as u64,
        };
        let mut body = Body::new(head.framing);
        self.tail.clear();
        let (mut from, mut to) = (head_bytes, filled);
        loop {
            let piece = self.buffer.get(from..to).unwrap_or_default();
            if is_stream {
                self.tail.keep(piece);
            }
            if body.take(piece)? {
                break;
            }
            let count = self
                .stream
                .read(&mut self.buffer)
                .await
                .map_err(|_| Fault::Incomplete)?;
            if count == 0 {
                return Err(Fault::Incomplete);
            }
            answer.first_byte.get_or_insert_with(|| start.elapsed());
            answer.bytes += count as u64;
            (from, to) = (0, count);
        }
        if head.status != 200 {
            return Err(Fault::Status(head.status));
        }
        if is_stream && !self.tail.has_last_event() {
            return Err(Fault::NoLastEvent);
        }
        Ok(answer)
    }
}

/// The end of a body: the last [`TAIL_BYTES`] of it, and at most as many again.
struct Tail(Vec<u8>);

impl Default for Tail {
    fn default() -> Self {
        Self(Vec::with_capacity(2 * TAIL_BYTES))
    }
}

impl Tail {
    fn clear(&mut self) {
        self.0.clear();
    }

    fn keep(&mut self, piece: &[u8]) {
        let piece = piece
            .get(piece.len().saturating_sub(TAIL_BYTES)..)
            .unwrap_or_default();
        if self.0.len() + piece.len() > 2 * TAIL_BYTES {
            self.0.drain(..self.0.len().saturating_sub(TAIL_BYTES));
        }
        self.0.extend_from_slice(piece);
    }

    fn has_last_event(&self) -> bool {
        LAST_EVENTS
            .iter()
            .any(|last| memchr::memmem::find(&self.0, last).is_some())
    }
}

/// The last event of a stream in either dialect.
const LAST_EVENTS: [&[u8]; 2] = [b"data: [DONE]", b"\"message_stop\""];
/// The last event, the end of its chunk and the last chunk are at most 80 bytes in either dialect.
const TAIL_BYTES: usize = 256;
/// 64 KiB: a head must fit, and a buffered answer of a benchmark comes in one read.
const READ_BYTES: usize = 64 * 1024;
/// Ten failures in a row on one connection mean that the server is gone; more would spin.
const FAILURES_MAX: u32 = 10;
