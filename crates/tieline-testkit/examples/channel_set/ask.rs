//! What a call wants of its channels, as it says in its prompt: `soak/CALL/PIECESxBYTES/PACE_MS/DEED+DEED…/`.
//!
//! The nth request of a call gets the nth deed; after the last, and where there is none, it is answered well. The text
//! is a function of the call alone, so that whoever reads it can tell whether it is whole.

use std::time::Duration;

use serde_json::Value;
use tieline_testkit::{Answer, Dialect, Seen, Usage};

use crate::deed::Deed;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) call: u64,
    deeds: Vec<Deed>,
    pub(crate) dialect: Dialect,
    pub(crate) is_stream: bool,
    /// Between two pieces of a stream, and before a whole answer.
    pub(crate) pace: Duration,
    piece_bytes: usize,
    pieces: usize,
    /// What was said before the answer broke off, where this is to go on with it.
    pub(crate) said: Option<String>,
    pub(crate) wants_usage: bool,
}

/// 4,096 pieces of at most 16 KiB are 64 MiB.
pub(crate) const PIECES_MAX: usize = 4_096;
const PIECE_BYTES_MAX: usize = 16 << 10;

impl Ask {
    pub(crate) fn read(seen: &Seen, request: &Value) -> Option<Self> {
        let messages = request.get("messages")?.as_array()?;
        let texts = |role: &'static str| {
            let of = move |message: &&Value| message.get("role").and_then(Value::as_str) == Some(role);
            messages.iter().filter(of).filter_map(text)
        };
        let (_, rest) = texts("user").find_map(|text| text.split_once("soak/"))?;
        let mut words = rest.split('/');
        let call = words.next()?.parse().ok()?;
        let (pieces, bytes) = words.next()?.split_once('x')?;
        let pace_ms = words.next()?.parse().ok()?;
        let deeds = words.next()?.split('+').filter(|name| !name.is_empty());
        let is_true = |place: &str| request.pointer(place).and_then(Value::as_bool) == Some(true);
        let dialect = if seen.route().ends_with("/messages") {
            Dialect::Anthropic
        } else {
            Dialect::OpenAi
        };
        Some(Self {
            call,
            deeds: deeds.map(Deed::from_name).collect::<Option<_>>()?,
            dialect,
            is_stream: is_true("/stream"),
            pace: Duration::from_millis(pace_ms),
            piece_bytes: bytes.parse().ok().filter(|bytes| *bytes <= PIECE_BYTES_MAX)?,
            pieces: pieces
                .parse()
                .ok()
                .filter(|pieces| (1..=PIECES_MAX).contains(pieces))?,
            said: texts("assistant").next_back().map(str::to_owned),
            wants_usage: is_true("/stream_options/include_usage"),
        })
    }

    /// What is done with the nth request of the call, from 0.
    pub(crate) fn deed(&self, nth: usize) -> Deed {
        self.deeds.get(nth).copied().unwrap_or(Deed::Ok)
    }

    /// The answer, or the rest of it.
    pub(crate) fn answer(&self) -> Answer {
        let text = self.rest();
        Answer {
            id: format!("answer-{}", self.call),
            usage: Usage {
                input: 50 + self.call % 100,
                cached: 0,
                output: text.len() as u64,
            },
            text,
            ..Answer::default()
        }
    }

    /// Pieces that were not said before; all of them where what was said is no beginning of the answer.
    fn rest(&self) -> Vec<String> {
        let all = (0..self.pieces).map(|piece| self.piece(piece));
        let Some(mut said) = self.said.as_deref() else {
            return all.collect();
        };
        let mut rest = Vec::new();
        for piece in all.clone() {
            if let Some(more) = said.strip_prefix(piece.as_str()) {
                said = more;
            } else if let Some(left) = piece.strip_prefix(said) {
                rest.push(left.to_owned());
                said = "";
            } else {
                return all.collect();
            }
        }
        if rest.is_empty() { all.collect() } else { rest }
    }

    fn piece(&self, piece: usize) -> String {
        let mark = format!("{}.{piece}.", self.call);
        format!("{mark:x<bytes$} ", bytes = self.piece_bytes)
    }
}

/// The text of a message, be it plain or its first block.
fn text(message: &Value) -> Option<&str> {
    let content = message.get("content")?;
    content.pointer("/0/text").unwrap_or(content).as_str()
}
