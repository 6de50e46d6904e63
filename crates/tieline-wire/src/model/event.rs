//! The canonical stream: one event per semantic step. A reader turns a dialect's frames into these, a writer turns these
//! into another dialect's frames.
//!
//! Contract. `Start` comes first and once; a block is opened before it grows and closed once; several blocks may be open
//! (OpenAI interleaves parallel calls), and a writer whose dialect allows one only serialises them. `Usage` is cumulative.
//! `Done` says that the source ended as its dialect requires; a stream without `Stop` is cut off, whatever else it says.

use tieline_core::{FaultKind, Stop, Usage};

use super::loss::Place;

/// One step of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Arguments of a call, as text that only makes JSON when joined.
    Args {
        at: u32,
        delta: String,
    },
    Close {
        at: u32,
    },
    /// The dialect's own terminator.
    Done,
    /// The channel reports a failure within the stream.
    Fault {
        kind: FaultKind,
        says: String,
    },
    Open {
        at: u32,
        kind: Kind,
    },
    Ping,
    Start {
        id: String,
        model: String,
    },
    Stop(Halt),
    /// Text of a text or refusal block.
    Text {
        at: u32,
        delta: String,
    },
    Thought {
        at: u32,
        delta: String,
    },
    Usage(Usage),
}

/// What a block holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Call {
        id: String,
        name: String,
    },
    Refusal,
    Text,
    /// Its place names it in a loss report.
    Thought(Place),
}

/// How an answer stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// What a channel says about its refusal.
    pub says: Option<String>,
    /// The stop sequence that matched, where the dialect says so.
    pub sequence: Option<String>,
    pub stop: Stop,
}

impl Halt {
    pub const fn plain(stop: Stop) -> Self {
        Self {
            says: None,
            sequence: None,
            stop,
        }
    }
}
