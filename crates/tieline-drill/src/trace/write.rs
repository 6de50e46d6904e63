//! Traffic as the CSV of calls that [`TraceReader`](super::TraceReader) reads: what was read of another system's log can be
//! kept, corrected and read again, by every run that takes a trace.
//!
//! Of calls what the columns have is written: who asked for what, sizes, times, cost, and who answered. Faults of attempts,
//! rulings and limits of keys have no column.

use std::fmt::Write as _;

use tieline_core::record::Outcome;

use crate::traffic::{Asked, STREAMED, Traffic, TrafficCall};

const HEADER: &str = "at_us,party,ask,channel,served_model,stream,input_tokens,output_tokens,cache_read_tokens,\
                      cache_write_tokens,reasoning_tokens,took_ms,ttft_ms,cost_nano\n";

/// Bytes that are handed out at a time.
const PIECE_BYTES: usize = 64 << 10;

impl Traffic {
    /// Write the calls that were answered, in pieces.
    ///
    /// # Errors
    /// What `each` fails with.
    pub fn write_calls<E>(&self, each: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let answered = self.calls.iter().filter(|call| call.result == Outcome::Served);
        self.write_those(answered.copied(), each)
    }

    /// Write calls, of the kinds and lanes of this traffic, in pieces.
    pub(crate) fn write_those<E>(
        &self,
        calls: impl Iterator<Item = TrafficCall>,
        each: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut out = String::from(HEADER);
        for call in calls {
            self.write_call(&call, &mut out);
            if out.len() >= PIECE_BYTES {
                each(out.as_bytes())?;
                out.clear();
            }
        }
        each(out.as_bytes())
    }

    fn write_call(&self, call: &TrafficCall, out: &mut String) {
        let Some(kind) = self.kinds.get(call.kind as usize) else {
            return;
        };
        let ask = match &kind.ask {
            Asked::Model(name) | Asked::Pool(name) => name,
            Asked::Nothing => return,
        };
        let party = self.parties.get(kind.party as usize).map_or("", |party| party);
        let (channel, model) = self
            .lanes
            .get(usize::from(call.lane))
            .map_or(("", ""), |(channel, model)| (channel, model));
        let stream = call.flags & STREAMED != 0;
        let _ = write!(out, "{},", call.at.0);
        for name in [party, ask, channel, model] {
            field(name, out);
            out.push(',');
        }
        let _ = write!(out, "{stream},");
        for count in call.tokens {
            let _ = write!(out, "{count},");
        }
        for us in [call.took_us, call.ttft_us] {
            let _ = write!(out, "{}.{:03},", us / 1_000, us % 1_000);
        }
        let _ = match call.cost_nano() {
            Some(nano) => writeln!(out, "{nano}"),
            None => writeln!(out),
        };
    }
}

/// A field, in quotes where it needs them.
fn field(text: &str, out: &mut String) {
    if text.contains([',', '"', '\n', '\r']) {
        let _ = write!(out, "\"{}\"", text.replace('"', "\"\""));
    } else {
        out.push_str(text);
    }
}
