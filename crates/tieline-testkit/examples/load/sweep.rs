//! The closed loop of streams at the least CPU per chunk: every connection is read once per sweep, not whenever
//! something arrives.
//!
//! Contract: the same requests and the same checks of every answer as with one task per connection; the server sees a
//! client that reads a little later, and is not slowed as long as a stream takes several sweeps. Nobody sleeps on these
//! sockets, so a chunk that arrives wakes nothing: that, not the reading, is what a chunk costs. Latency and first byte
//! are as coarse as a sweep. Bounds: one buffer for all connections; an answer that brings nothing for [`SILENCE_MAX`]
//! is incomplete.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Plan;
use crate::reply::{Body, Fault, Head};
use crate::report::{Answer, Report};
use crate::{FAILURES_MAX, READ_BYTES, Tail};

/// Ask on every connection until the plan ends; the last answers are waited for.
pub(crate) fn run(
    plan: Plan,
    request: &[u8],
    addresses: &[SocketAddr],
    every: Duration,
) -> Result<Report, String> {
    let mut report = Report::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut lines = Vec::with_capacity(addresses.len());
    for address in addresses {
        lines.push(Line::open(*address).map_err(|error| format!("no connection to {address}: {error}"))?);
    }
    let mut now = Instant::now();
    for line in &mut lines {
        line.ask(plan, request, &mut report, now);
    }
    while lines.iter().any(|line| !line.is_done) {
        std::thread::sleep(every);
        now = Instant::now();
        for line in lines.iter_mut().filter(|line| !line.is_done) {
            let Some(outcome) = line.advance(&mut buffer, now, plan.is_stream) else {
                continue;
            };
            line.count(&outcome, plan, &mut report, now);
            line.ask(plan, request, &mut report, now);
        }
    }
    Ok(report)
}

/// One connection and the answer that it waits for.
struct Line {
    address: SocketAddr,
    stream: TcpStream,
    /// What came of a head that is not whole.
    head: Vec<u8>,
    answer: Option<(Head, Body, Answer)>,
    tail: Tail,
    asked_at: Instant,
    heard_at: Instant,
    failures: u32,
    is_done: bool,
}

impl Line {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            address,
            stream: connect(address)?,
            head: Vec::with_capacity(READ_BYTES),
            answer: None,
            tail: Tail::default(),
            asked_at: now,
            heard_at: now,
            failures: 0,
            is_done: false,
        })
    }

    fn ask(&mut self, plan: Plan, request: &[u8], report: &mut Report, now: Instant) {
        if self.failures > FAILURES_MAX || now >= plan.end || !report.may_start(plan.calls_max) {
            self.is_done = true;
            return;
        }
        self.head.clear();
        self.answer = None;
        self.tail.clear();
        (self.asked_at, self.heard_at) = (now, now);
        // A request is 1 KB on a connection that has nothing under way: it fits, or the connection is gone, which the
        // next read says.
        let _ = self.stream.write_all(request);
    }

    /// Reads what there is; the outcome, if that ends the answer.
    fn advance(&mut self, buffer: &mut [u8], now: Instant, is_stream: bool) -> Option<Result<Answer, Fault>> {
        match self.stream.read(buffer) {
            Ok(0) => Some(Err(Fault::Incomplete)),
            Ok(count) => {
                self.heard_at = now;
                let piece = buffer.get(..count).unwrap_or_default();
                self.take(piece, now, is_stream).transpose()
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                let is_silent = now.saturating_duration_since(self.heard_at) > SILENCE_MAX;
                is_silent.then_some(Err(Fault::Incomplete))
            }
            Err(_) => Some(Err(Fault::Incomplete)),
        }
    }

    fn take(&mut self, piece: &[u8], now: Instant, is_stream: bool) -> Result<Option<Answer>, Fault> {
        let since = now.saturating_duration_since(self.asked_at);
        let mut of_body = piece;
        if self.answer.is_none() {
            let before = self.head.len();
            self.head.extend_from_slice(piece);
            let Some((head, head_bytes)) = Head::parse(&self.head)? else {
                return if self.head.len() < READ_BYTES {
                    Ok(None)
                } else {
                    Err(Fault::Malformed)
                };
            };
            of_body = piece.get(head_bytes.saturating_sub(before)..).unwrap_or_default();
            let answer = Answer {
                first_byte: None,
                keep_alive: head.keep_alive,
                bytes: before as u64,
            };
            let body = Body::new(head.framing);
            self.answer = Some((head, body, answer));
        }
        let Some((head, body, answer)) = &mut self.answer else {
            return Ok(None);
        };
        answer.bytes += piece.len() as u64;
        if !of_body.is_empty() {
            answer.first_byte.get_or_insert(since);
        }
        if is_stream {
            self.tail.keep(of_body);
        }
        if !body.take(of_body)? {
            return Ok(None);
        }
        if head.status != 200 {
            return Err(Fault::Status(head.status));
        }
        if is_stream && !self.tail.has_last_event() {
            return Err(Fault::NoLastEvent);
        }
        Ok(self.answer.take().map(|(_, _, answer)| answer))
    }

    /// Counts an outcome, and connects again where it left no connection.
    fn count(&mut self, outcome: &Result<Answer, Fault>, plan: Plan, report: &mut Report, now: Instant) {
        let is_measured = now >= plan.measure_from && now < plan.end;
        let is_answer = matches!(outcome, Ok(_) | Err(Fault::Status(_)));
        self.failures = if is_answer { 0 } else { self.failures + 1 };
        let latency = now.saturating_duration_since(self.asked_at);
        report.record(outcome, latency, is_measured);
        if !matches!(outcome, Ok(answer) if answer.keep_alive) {
            match connect(self.address) {
                Ok(stream) => self.stream = stream,
                Err(_) => self.failures += 1,
            }
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Ten seconds: a server that is alive brings a chunk sooner on any machine.
const SILENCE_MAX: Duration = Duration::from_secs(10);
