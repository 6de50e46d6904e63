//! What a scenario is: what the channels do, what the caller does, and what must come of it, as data.

use tieline_core::grid::Resume;
use tieline_core::{Dialect, FaultKind};
use tieline_testkit::Act;

use super::script::{self, Cue};

/// One scenario of the catalogue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) caller: Caller,
    pub(super) expect: fn(&Form) -> Expect,
    /// What the channel that is asked first does.
    pub(super) first: fn(&Cue<'_>) -> Act,
    pub(super) forms: Forms,
    pub(super) group: &'static str,
    pub(super) name: &'static str,
    /// What the channels that are asked after it do.
    pub(super) rest: fn(&Cue<'_>) -> Act,
    /// Whether the setting `resume` makes a difference.
    pub(super) resumes: bool,
    /// What happens, in one sentence.
    pub(super) says: &'static str,
    pub(super) world: World,
}

/// One run of a scenario.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) dialect: Dialect,
    pub(super) resume: Resume,
    pub(super) stream: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forms {
    Both,
    Stream,
    Whole,
}

/// What is done to the channels' listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum World {
    /// Nobody listens anywhere.
    AllDown,
    /// Nobody listens where the first channel was.
    FirstDown,
    /// The first channel takes connections and never reads.
    FirstMute,
    /// The first channel resets connections that it took.
    FirstResets,
    Up,
}

/// What the caller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// It leaves when it has the first content.
    LeavesReading,
    /// It leaves while it waits for the first byte.
    LeavesWaiting,
    Once,
    /// Reads the first content, and the rest only after twice the limit of silence.
    Slow,
    /// One call after the other.
    Times(u32),
    /// Rules that deny the call come into force before it.
    UnderNewRules,
    /// They come into force when it has the first content; another call follows.
    UnderNewRulesReading,
    /// They come into force while the first channel is being waited for.
    UnderNewRulesWaiting,
}

/// What must come of a run, beside what holds for every run.
#[derive(Clone, Debug)]
pub(super) struct Expect {
    pub(super) bill: Bill,
    /// Of a broken answer: whether the next channel of the same model goes on with it, where the pool wants that.
    pub(super) resumable: bool,
    /// What the answer says, where it is served.
    pub(super) text: String,
    pub(super) told: Told,
    pub(super) tries: Tries,
    pub(super) wait: Wait,
}

/// What the last call came to for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Content came, then an error event with this code.
    Broken(&'static str),
    /// An error of the gateway's, in the caller's dialect.
    Error(u16, &'static str),
    /// The caller left.
    Left,
    /// The channel's own error with this status.
    Relayed(u16),
    /// A whole answer, by the channel that was asked as the nth, from 0.
    Whole(usize),
}

/// Attempts of the last call in the ledger.
#[derive(Clone, Debug)]
pub(super) enum Tries {
    /// At least so many, and each failed in one of these ways.
    All(usize, &'static [FaultKind]),
    Any,
    /// By role: which failed, and how; the last without a fault answered.
    Each(Vec<(usize, Option<FaultKind>)>),
}

/// How long the last call may take, and has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// So many times the limit of time to first content; of a whole answer, that of the whole.
    First(u32),
    /// The limit of silence within a stream.
    Idle,
    /// Within what a loaded machine needs.
    Prompt,
    /// Twice the limit of silence, by the caller's own doing.
    Reading,
}

/// What the ledger says of money and tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bill {
    Any,
    /// Usage as the answer reported it, and its price.
    Known,
    /// Nothing was used.
    Nothing,
    /// Unknown, which is not zero.
    Unknown,
}

impl Scenario {
    /// The first channel does `first`; every other answers well.
    pub(super) const fn new(
        group: &'static str,
        name: &'static str,
        says: &'static str,
        first: fn(&Cue<'_>) -> Act,
        expect: fn(&Form) -> Expect,
    ) -> Self {
        Self {
            caller: Caller::Once,
            expect,
            first,
            forms: Forms::Both,
            group,
            name,
            rest: script::good,
            resumes: false,
            says,
            world: World::Up,
        }
    }

    /// Every channel does as the first.
    pub(super) const fn everywhere(mut self) -> Self {
        self.rest = self.first;
        self
    }

    pub(super) const fn rest(mut self, rest: fn(&Cue<'_>) -> Act) -> Self {
        self.rest = rest;
        self
    }

    pub(super) const fn only_streams(mut self) -> Self {
        self.forms = Forms::Stream;
        self
    }

    pub(super) const fn only_whole(mut self) -> Self {
        self.forms = Forms::Whole;
        self
    }

    pub(super) const fn caller(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }

    pub(super) const fn world(mut self, world: World) -> Self {
        self.world = world;
        self
    }

    /// `resume` makes a difference. Only a stream can be resumed.
    pub(super) const fn resumes(mut self) -> Self {
        self.resumes = true;
        self.forms = Forms::Stream;
        self
    }
}

impl Expect {
    /// Served whole by the channel that was asked as the nth, after those before it failed so.
    pub(super) fn served_after(faults: &[FaultKind]) -> Self {
        let mut tries: Vec<_> = faults.iter().map(|kind| Some(*kind)).enumerate().collect();
        tries.push((faults.len(), None));
        Self {
            bill: Bill::Known,
            resumable: false,
            text: script::text(),
            told: Told::Whole(faults.len()),
            tries: Tries::Each(tries),
            wait: Wait::Prompt,
        }
    }

    /// The gateway's own error after nothing could serve; each attempt failed in one of these ways.
    pub(super) fn error(status: u16, code: &'static str, least: usize, kinds: &'static [FaultKind]) -> Self {
        Self {
            bill: Bill::Nothing,
            resumable: false,
            text: String::new(),
            told: Told::Error(status, code),
            tries: Tries::All(least, kinds),
            wait: Wait::Prompt,
        }
    }

    /// The first channel's own error, and no other channel asked.
    pub(super) fn relayed(status: u16, kind: FaultKind) -> Self {
        Self {
            bill: Bill::Nothing,
            resumable: false,
            text: String::new(),
            told: Told::Relayed(status),
            tries: Tries::Each(vec![(0, Some(kind))]),
            wait: Wait::Prompt,
        }
    }

    /// Content came and then this fault; the stream ends with the dialect's error event, unless it is resumed.
    pub(super) fn broken(kind: FaultKind) -> Self {
        Self {
            bill: Bill::Any,
            resumable: true,
            text: script::text(),
            told: Told::Broken("answer_cut"),
            tries: Tries::Each(vec![(0, Some(kind))]),
            wait: Wait::Prompt,
        }
    }

    /// No channel of the same model can go on.
    pub(super) const fn not_resumed(mut self) -> Self {
        self.resumable = false;
        self
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        text.clone_into(&mut self.text);
        self
    }

    pub(super) const fn bill(mut self, bill: Bill) -> Self {
        self.bill = bill;
        self
    }

    pub(super) const fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    pub(super) fn tries(mut self, tries: Tries) -> Self {
        self.tries = tries;
        self
    }

    pub(super) const fn told(mut self, told: Told) -> Self {
        self.told = told;
        self
    }
}
