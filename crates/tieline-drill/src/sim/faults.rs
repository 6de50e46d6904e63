//! What channels do: each has moods that change over time, and an attempt meets the mood of the moment in which it is
//! dialled. A mood becomes a script: facts about the answer, each so long after the one before.
//!
//! Bounds: a script has at most [`ACTS_MAX`] acts.

use std::collections::VecDeque;

use tieline_core::{Fault, FaultKind, Mark, Phase, Span, Stop, Tick, Usage};

use super::dice::Dice;

/// An opened stream, a first mark, six more of content, usage, a stop reason and an end.
pub(super) const ACTS_MAX: usize = 12;

/// How a channel behaves for a while.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mood {
    /// So many percent of the attempts meet this fault.
    Faulty {
        kind: FaultKind,
        percent: u64,
        retry_after_ms: Option<u64>,
    },
    /// The answer breaks off after some content.
    Cut,
    /// It opens, begins and then says nothing more.
    Stalls,
    /// Nothing ever comes, or a status line and nothing else.
    Silent {
        opens: bool,
    },
    Well {
        ttft_ms: u64,
    },
}

/// One fact of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    End { complete: bool },
    Fault(Fault),
    Mark(Mark),
    Opened,
}

/// The moods of one channel: from when on which.
#[derive(Clone, Debug)]
pub(super) struct Moods(pub(super) Vec<(Tick, Mood)>);

pub(super) type Script = VecDeque<(Span, Act)>;

const FAULTS: [FaultKind; 15] = [
    FaultKind::Auth,
    FaultKind::Client,
    FaultKind::Content,
    FaultKind::Context,
    FaultKind::Garbage,
    FaultKind::Incapable,
    FaultKind::Legal,
    FaultKind::NotReady,
    FaultKind::Overload,
    FaultKind::Rate,
    FaultKind::Region,
    FaultKind::Reset,
    FaultKind::Spend,
    FaultKind::Timeout,
    FaultKind::Transient,
];

impl Moods {
    /// Moods that change at some of `moments`, as often as the channel is `troubled` (percent).
    pub(super) fn draw(dice: &mut Dice, moments: &[Tick], troubled: u64) -> Self {
        let mut moods = vec![(Tick(0), Mood::draw(dice, troubled))];
        // Flapping is a mood that changes often; most channels change a few times.
        for _ in 0..dice.pick(0, &[1, 2, 3, 12]) {
            let ix = usize::try_from(dice.below(moments.len() as u64)).unwrap_or_default();
            let at = moments.get(ix).copied().unwrap_or_default();
            moods.push((at.plus(dice.spread_ms(1, 5_000)), Mood::draw(dice, troubled)));
        }
        moods.sort_by_key(|(at, _)| *at);
        Self(moods)
    }

    pub(super) fn at(&self, now: Tick) -> Mood {
        let begun = self.0.iter().take_while(|(at, _)| *at <= now);
        begun
            .last()
            .map_or(Mood::Well { ttft_ms: 100 }, |(_, mood)| *mood)
    }
}

impl Mood {
    fn draw(dice: &mut Dice, troubled: u64) -> Self {
        if !dice.chance(troubled) {
            return Self::Well {
                ttft_ms: dice.spread(5, 4_000),
            };
        }
        match dice.below(10) {
            0 => Self::Silent {
                opens: dice.chance(50),
            },
            1 => Self::Stalls,
            2 => Self::Cut,
            _ => Self::Faulty {
                kind: dice.pick(FaultKind::Connect, &FAULTS),
                percent: dice.pick(100, &[100, 60, 30, 10]),
                retry_after_ms: dice.perhaps(40, |dice| dice.spread(10, 120_000)),
            },
        }
    }

    /// What an attempt meets.
    pub(super) fn script(self, dice: &mut Dice, stream: bool) -> Script {
        match self {
            Self::Faulty {
                kind,
                percent,
                retry_after_ms,
            } if dice.chance(percent) => fault(dice, kind, retry_after_ms),
            Self::Silent { opens: false } => Script::new(),
            Self::Silent { opens: true } => [(dice.spread_ms(5, 500), Act::Opened)].into(),
            Self::Stalls => {
                let mut script = answer(dice, 100, stream);
                script.truncate(usize::from(dice.small(2, 5)).min(script.len().saturating_sub(1)));
                script
            }
            Self::Cut => {
                let mut script = answer(dice, 100, stream);
                script.truncate(usize::from(dice.small(1, 6)).min(script.len().saturating_sub(1)));
                let reset = Fault::new(FaultKind::Reset, Phase::Body);
                let end = dice.pick(Act::End { complete: false }, &[Act::Fault(reset)]);
                script.push_back((dice.spread_ms(1, 500), end));
                script
            }
            Self::Well { ttft_ms } => answer(dice, ttft_ms, stream),
            Self::Faulty { .. } => answer(dice, 100, stream),
        }
    }
}

/// A fault, most often in place of an answer, and sometimes in the midst of one.
fn fault(dice: &mut Dice, kind: FaultKind, retry_after_ms: Option<u64>) -> Script {
    let mut script = Script::new();
    let phase = match kind {
        FaultKind::Connect => Phase::Connect,
        FaultKind::Timeout | FaultKind::Reset | FaultKind::Transient | FaultKind::Overload
            if dice.chance(30) =>
        {
            script.push_back((dice.spread_ms(5, 500), Act::Opened));
            if dice.chance(40) {
                script.push_back((dice.spread_ms(5, 500), Act::Mark(Mark::Content(2))));
            }
            Phase::Body
        }
        _ => Phase::Head,
    };
    let status = dice.perhaps(60, |dice| dice.pick(400, &[403, 429, 500, 503]));
    let mut fault = Fault::new(kind, phase).with_retry_after_ms(retry_after_ms);
    fault.status = status;
    script.push_back((dice.spread_ms(1, 2_000), Act::Fault(fault)));
    script
}

/// A whole answer; one in ten says nothing of its usage, for then it is unknown.
fn answer(dice: &mut Dice, ttft_ms: u64, stream: bool) -> Script {
    let mut script = Script::new();
    let first = Span::from_ms(dice.between(ttft_ms / 2, ttft_ms * 2));
    script.push_back((Span(first.0 / 3), Act::Opened));
    if !dice.chance(3) {
        let begins = dice.pick(Mark::Content(1), &[Mark::Content(3), Mark::Thinking, Mark::Tool]);
        script.push_back((first, Act::Mark(begins)));
        for _ in 0..if stream { dice.below(6) } else { 0 } {
            let events = u32::try_from(dice.below(40)).unwrap_or_default();
            script.push_back((dice.spread_ms(1, 3_000), Act::Mark(Mark::Content(events))));
        }
    }
    if dice.chance(90) {
        let usage = Usage {
            cache_read: dice.below(50),
            input: dice.spread(10, 5_000),
            output: dice.spread(1, 3_000),
            reasoning: dice.below(100),
            ..Usage::default()
        };
        script.push_back((Span(0), Act::Mark(Mark::Usage(usage))));
    }
    script.push_back((Span(0), Act::Mark(Mark::Stop(Stop::End))));
    script.push_back((dice.spread_ms(1, 200), Act::End { complete: true }));
    script.truncate(ACTS_MAX);
    script
}
