//! The auditor's own account of lanes: what a breaker, a rest and a retry budget must have come to, from what was dialled
//! and how it ended. It is told by the run and not by the core's observations, so that a core which forgets to observe is
//! found out.
//!
//! The waits of a breaker are jittered by the core; here they are bounds: no probe before half of the wait.

use std::collections::{BTreeMap, VecDeque};

use tieline_core::{FaultKind, Span, Tick};

/// Channel and model, by number.
pub(super) type Lane = (u8, u8);

/// Five faults in a row, or fewer than four of five of at least twenty ends in ten buckets of 3 s, open a breaker.
const ROW: u32 = 5;
const ENDS_MIN: u32 = 20;
const BUCKET_US: u64 = 3_000_000;
const BUCKETS: u64 = 10;
const BUCKETS_OF_RETRIES: u64 = 4;
const ROW_IDLE: Span = Span::from_s(30);
const WAIT_FIRST: Span = Span::from_s(1);
const WAIT_MAX: Span = Span::from_s(16);
const PROBE_MAX: Span = Span::from_s(60);
const DAY: Span = Span::from_s(86_400);

#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<Lane, Account>,
    spent: BTreeMap<u8, Tick>,
}

#[derive(Debug, Default)]
struct Account {
    in_flight: u32,
    landed_at: Tick,
    open: Option<Open>,
    rest_until: Tick,
    row: u32,
    /// One for each bucket in which something happened: its number, dialled, of these again, ended well, ended badly.
    window: VecDeque<(u64, [u32; 4])>,
}

#[derive(Debug)]
struct Open {
    is_ailing: bool,
    /// The earliest instant at which the wait may be over.
    may_probe: Tick,
    probe: Option<(u32, Tick)>,
    since: Tick,
    wait: Span,
}

/// How an attempt ended, as far as its lane goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Done,
    Fault(FaultKind, Option<Span>),
    /// No judgement on the channel.
    Left,
}

#[derive(Clone, Copy)]
enum Count {
    Dialled,
    Again,
    Good,
    Bad,
}

// === impl Lanes ===

impl Lanes {
    /// What is wrong with dialling the lane now, if anything is.
    pub(super) fn objection(&self, lane: Lane, again: bool, now: Tick) -> Option<(&'static str, String)> {
        if let Some(until) = self.spent.get(&lane.0).filter(|until| now < **until) {
            let left = until.since(now).as_ms_ceil();
            return Some(("rest", format!("its account is spent for another {left} ms")));
        }
        let account = self.lanes.get(&lane)?;
        if now < account.rest_until {
            let left = account.rest_until.since(now).as_ms_ceil();
            return Some(("rest", format!("it asked to be left alone for another {left} ms")));
        }
        if let Some(open) = account.open.as_ref().filter(|open| !open.is_ailing) {
            if now < open.may_probe {
                return Some(("breaker", "its breaker is open and waits".to_owned()));
            }
            if let Some((call, _)) = open.probe.filter(|(_, since)| now.since(*since) < PROBE_MAX) {
                return Some(("breaker", format!("call {call} is probing it")));
            }
        }
        let [dialled, again_before, _, bad] = account.sum(now, BUCKETS_OF_RETRIES);
        let share = dialled * 10 / 100 + 3;
        (again && bad > 0 && again_before >= share).then(|| {
            let says = format!("{again_before} of {dialled} attempts there were further ones already");
            ("retries", says)
        })
    }

    /// Whether nothing is in the way of dialling it, as far as the lane goes.
    pub(super) fn is_ready(&self, lane: Lane, again: bool, now: Tick) -> bool {
        let open = self
            .lanes
            .get(&lane)
            .is_some_and(|account| account.open.is_some());
        !open && self.objection(lane, again, now).is_none()
    }

    /// Whether too many of its attempts fail, and it is no time for a probe yet. Later nobody can tell from outside which
    /// of the attempts on such a lane was its probe, for others may go there as well.
    pub(super) fn is_ailing(&self, lane: Lane, now: Tick) -> bool {
        let open = self.lanes.get(&lane).and_then(|account| account.open.as_ref());
        open.is_some_and(|open| open.is_ailing && now.since(open.since).0 < WAIT_FIRST.0 / 2)
    }

    /// Whether its breaker is open, for whichever reason.
    pub(super) fn is_open(&self, lane: Lane) -> bool {
        self.lanes
            .get(&lane)
            .is_some_and(|account| account.open.is_some())
    }

    pub(super) fn in_flight(&self, lane: Lane) -> u32 {
        self.lanes.get(&lane).map_or(0, |account| account.in_flight)
    }

    pub(super) fn dial(&mut self, lane: Lane, call: u32, again: bool, now: Tick) {
        let account = self.lanes.entry(lane).or_default();
        if account.in_flight == 0 && now.since(account.landed_at) >= ROW_IDLE {
            account.row = 0;
        }
        account.in_flight += 1;
        account.count(Count::Dialled, now);
        if again {
            account.count(Count::Again, now);
        }
        if let Some(open) = &mut account.open
            && now >= open.may_probe
            && open.probe.is_none_or(|(_, since)| now.since(since) >= PROBE_MAX)
        {
            open.probe = Some((call, now));
        }
    }

    pub(super) fn end(&mut self, lane: Lane, call: u32, dialled_at: Tick, end: End, now: Tick) {
        let account = self.lanes.entry(lane).or_default();
        account.in_flight = account.in_flight.saturating_sub(1);
        account.landed_at = now;
        match end {
            End::Done => {
                account.served(dialled_at, now);
                self.spent.remove(&lane.0);
            }
            End::Left => {
                account.take_probe(call);
            }
            End::Fault(kind, wait) => {
                account.failed(call, kind, wait, now);
                if kind == FaultKind::Spend {
                    let wait = wait.map_or(Span::from_s(900), |wait| wait.min(Span(31 * DAY.0)));
                    self.spent.insert(lane.0, now.plus(wait));
                }
            }
        }
    }

    /// An operator says that the channel serves: nothing bad is known of it.
    pub(super) fn restore(&mut self, channel: u8) {
        self.spent.remove(&channel);
        for (_, account) in self.lanes.iter_mut().filter(|((of, _), _)| *of == channel) {
            *account = Account {
                in_flight: account.in_flight,
                landed_at: account.landed_at,
                ..Account::default()
            };
        }
    }

    /// A reload: what the new grid does not name is forgotten.
    pub(super) fn keep(&mut self, has: impl Fn(Lane) -> bool, has_channel: impl Fn(u8) -> bool) {
        self.lanes.retain(|lane, _| has(*lane));
        self.spent.retain(|channel, _| has_channel(*channel));
    }
}

// === impl Account ===

impl Account {
    fn served(&mut self, dialled_at: Tick, now: Tick) {
        self.row = 0;
        self.count(Count::Good, now);
        if self.open.as_ref().is_some_and(|open| dialled_at >= open.since) {
            self.open = None;
            for (_, counts) in &mut self.window {
                let [_, _, good, bad] = counts;
                (*good, *bad) = (0, 0);
            }
        }
    }

    fn failed(&mut self, call: u32, kind: FaultKind, wait: Option<Span>, now: Tick) {
        let probed = self.take_probe(call);
        // The caller's faults say nothing against the channel, which read the request and judged it.
        if matches!(kind, FaultKind::Client | FaultKind::Content | FaultKind::Context) {
            self.row = 0;
            return;
        }
        let rest = match (kind, wait) {
            (FaultKind::Spend, _) => Span(0),
            (FaultKind::Rate, None) => Span::from_s(1),
            (_, wait) => wait.unwrap_or_default().min(DAY),
        };
        self.rest_until = self.rest_until.max(now.plus(rest));
        let hurts = matches!(
            kind,
            FaultKind::Auth
                | FaultKind::Connect
                | FaultKind::Garbage
                | FaultKind::NotReady
                | FaultKind::Reset
                | FaultKind::Timeout
                | FaultKind::Transient
        );
        let ails = hurts || kind == FaultKind::Overload;
        if ails {
            self.count(Count::Bad, now);
        }
        match &mut self.open {
            Some(open) if probed => {
                open.wait = Span(open.wait.0 * 2).min(WAIT_MAX);
                open.may_probe = now.plus(Span(open.wait.0 / 2));
            }
            Some(_) => {}
            None => {
                self.row += u32::from(hurts);
                let dead = hurts && self.row >= ROW;
                let [_, _, good, bad] = self.sum(now, BUCKETS);
                let ailing = ails && good + bad >= ENDS_MIN && good * 5 < (good + bad) * 4;
                if dead || ailing {
                    self.open = Some(Open {
                        is_ailing: !dead,
                        may_probe: now.plus(Span(WAIT_FIRST.0 / 2)),
                        probe: None,
                        since: now,
                        wait: WAIT_FIRST,
                    });
                }
            }
        }
    }

    fn take_probe(&mut self, call: u32) -> bool {
        let probe = self.open.as_mut().map(|open| &mut open.probe);
        probe.is_some_and(|probe| probe.take_if(|(of, _)| *of == call).is_some())
    }

    fn count(&mut self, what: Count, now: Tick) {
        let bucket = now.0 / BUCKET_US;
        if self.window.back().is_none_or(|(newest, _)| *newest < bucket) {
            self.window.push_back((bucket, [0; 4]));
        }
        while self
            .window
            .front()
            .is_some_and(|(oldest, _)| oldest + BUCKETS <= bucket)
        {
            self.window.pop_front();
        }
        if let Some((_, counts)) = self.window.back_mut()
            && let Some(count) = counts.get_mut(what as usize)
        {
            *count += 1;
        }
    }

    fn sum(&self, now: Tick, buckets: u64) -> [u32; 4] {
        let from = (now.0 / BUCKET_US).saturating_sub(buckets - 1);
        let recent = self.window.iter().filter(|(bucket, _)| *bucket >= from);
        recent.fold([0; 4], |[a, b, c, d], (_, [e, f, g, h])| {
            [a + e, b + f, c + g, d + h]
        })
    }
}
