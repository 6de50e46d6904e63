//! The mutants. Each is the smallest change that breaks one law; the comment of a group names the law that should notice.

/// One defect: in `file` (below the core's source) the piece `find`, which stands there once, becomes `put`.
#[derive(Debug)]
pub(super) struct Mutant {
    pub(super) file: &'static str,
    pub(super) find: &'static str,
    pub(super) name: &'static str,
    pub(super) put: &'static str,
}

const fn mutant(name: &'static str, file: &'static str, find: &'static str, put: &'static str) -> Mutant {
    Mutant {
        file,
        find,
        name,
        put,
    }
}

pub(super) const MUTANTS: &[Mutant] = &[
    // policy
    mutant(
        "a-hold-is-no-bar",
        "call/plan.rs",
        "Some(Ruling::Hold) => Some(Why::Held),",
        "Some(Ruling::Hold) => None,",
    ),
    mutant(
        "a-verdict-outlives-the-question",
        "call/plan.rs",
        "row.verdict = verdicts.next().cloned();",
        "let new = verdicts.next().cloned();\n            row.verdict = row.verdict.take().or(new);",
    ),
    mutant(
        "an-order-is-ignored",
        "call/machine.rs",
        "(Stage::Attempt, Input::Ordered(verdict)) => self.ordered(verdict),",
        "(Stage::Attempt, Input::Ordered(verdict)) => drop(verdict),",
    ),
    mutant(
        "the-scope-of-a-key-is-ignored",
        "call/machine.rs",
        "Ask::Model(_) | Ask::Pool(_) if !self.in_scope =>",
        "Ask::Model(_) | Ask::Pool(_) if !self.in_scope && self.gone =>",
    ),
    // cut
    mutant(
        "what-is-cut-is-dialled",
        "call/plan.rs",
        "_ if seen.out => Why::Out,",
        "_ if seen.out && seen.full => Why::Out,",
    ),
    mutant(
        "what-changed-while-the-ledger-wrote-is-not-seen",
        "call/machine.rs",
        "if self.plan.is_ready(row) {",
        "if self.plan.is_ready(row) || !self.gone {",
    ),
    mutant(
        "a-reload-moves-cuts-by-index",
        "fleet/mod.rs",
        "out_channels: self.out_channels.iter().filter_map(|ix| channel(*ix)).collect(),",
        "out_channels: self.out_channels.clone(),",
    ),
    mutant(
        "an-old-grid-is-read-by-new-indexes",
        "board.rs",
        "if of.digest == self.snapshot.digest {\n            return self.fleet.view(",
        "if of.channels.len() == self.snapshot.channels.len() {\n            return self.fleet.view(",
    ),
    // breaker, rest, retries, attempts, willing
    mutant(
        "a-breaker-opens-late",
        "fleet/lane.rs",
        "pub const CONSECUTIVE_MAX: u16 = 5;",
        "pub const CONSECUTIVE_MAX: u16 = 8;",
    ),
    mutant(
        "two-probe-at-once",
        "fleet/lane.rs",
        "Some(open) if now >= open.until && !open.is_probed(now) => Health::Probe,",
        "Some(open) if now >= open.until => Health::Probe,",
    ),
    mutant(
        "retry-after-is-not-heard",
        "fleet/lane.rs",
        "self.rest_until = self.rest_until.max(now.plus(rest));",
        "self.rest_until = self.rest_until.max(now.plus(Span(rest.0 / 2)));",
    ),
    mutant(
        "a-spent-account-is-asked",
        "fleet/mod.rs",
        "self.spent.insert(observation.channel, now.plus(wait));",
        "self.spent.insert(observation.channel, now.plus(Span(wait.0 / 2)));",
    ),
    mutant(
        "further-attempts-have-a-third",
        "fleet/window.rs",
        "const RETRIES_PERCENT: u32 = 10;",
        "const RETRIES_PERCENT: u32 = 33;",
    ),
    mutant(
        "one-attempt-too-many",
        "call/machine.rs",
        "self.attempts.len() >= usize::from(self.settings.attempts_max)",
        "self.attempts.len() > usize::from(self.settings.attempts_max)",
    ),
    mutant(
        "a-candidate-is-tried-thrice",
        "call/plan.rs",
        "const TRIES_MAX: u8 = 2;",
        "const TRIES_MAX: u8 = 3;",
    ),
    mutant(
        "a-full-lane-serves-nobody",
        "call/plan.rs",
        "[Why::Standby, Why::Full, Why::Again,",
        "[Why::Standby, Why::Again,",
    ),
    mutant(
        "a-lane-ails-late",
        "fleet/window.rs",
        "ends >= SAMPLES_MIN && good * 100",
        "ends >= 3 * SAMPLES_MIN && good * 100",
    ),
    // final
    mutant(
        "a-legal-block-is-routed-around",
        "call/machine.rs",
        "FaultKind::Legal => return self.finish",
        "FaultKind::Legal if self.gone => return self.finish",
    ),
    mutant(
        "filters-are-shopped-for",
        "fault.rs",
        "matches!(self, Self::Client | Self::Content | Self::Context)",
        "matches!(self, Self::Client | Self::Context)",
    ),
    mutant(
        "an-equal-context-is-larger",
        "call/machine.rs",
        "small.is_some() && tokens(*row) > small",
        "small.is_some() && tokens(*row) >= small",
    ),
    // silence, strict
    mutant(
        "an-answer-cut-off-is-begun-anew",
        "call/machine.rs",
        "if self.released {\n            return self.resume_or_break(",
        "if self.released && self.gone {\n            return self.resume_or_break(",
    ),
    mutant(
        "a-truncated-answer-is-a-success",
        "call/machine.rs",
        "if !complete {\n            let fault",
        "if !complete && self.gone {\n            let fault",
    ),
    mutant(
        "strict-does-not-wait-for-the-ledger",
        "call/machine.rs",
        "&& (self.durable || !strict)",
        "&& (self.durable || !strict || content)",
    ),
    // bounded
    mutant(
        "the-callers-time-is-ignored",
        "call/mod.rs",
        "caller.map_or(whole, |caller| caller.min(whole))",
        "caller.map_or(whole, |_| whole)",
    ),
    mutant(
        "an-answer-may-idle",
        "call/mod.rs",
        "attempt.last_progress_at.plus(ms(self.settings.idle_ms))",
        "attempt.last_progress_at.plus(ms(self.settings.call_ms))",
    ),
    mutant(
        "a-wait-has-no-limit",
        "call/wait.rs",
        "const WAIT_MAX: Span = Span::from_s(2);",
        "const WAIT_MAX: Span = Span::from_s(20);",
    ),
    mutant(
        "a-dead-ledger-is-waited-for",
        "call/machine.rs",
        "(_, Input::NotDurable) => self.not_durable(),",
        "(_, Input::NotDurable) => {}",
    ),
    // reservations
    mutant(
        "a-channel-is-not-given-back",
        "call/machine.rs",
        "= (row, self.reserved_channel.take()) {",
        "= (row, self.reserved_channel.take().filter(|_| self.attempts.is_full())) {",
    ),
    mutant(
        "a-key-is-not-given-back",
        "call/machine.rs",
        "let Some(claim) = self.reserved_key else { return };",
        "let Some(claim) = self.reserved_key.filter(|_| !self.attempts.is_empty()) else { return };",
    ),
    mutant(
        "a-late-grant-is-kept",
        "call/machine.rs",
        "Some(Reservation::Key) => self.emit(",
        "Some(Reservation::Key) => drop::<Effect>(",
    ),
    mutant(
        "unknown-use-is-none",
        "call/bound.rs",
        "FaultKind::Timeout => true,",
        "FaultKind::Timeout => false,",
    ),
    mutant(
        "who-leaves-stays-in-flight",
        "fleet/mod.rs",
        "Seen::Leave => {\n                lane.land(now);",
        "Seen::Leave => {",
    ),
    mutant(
        "a-bucket-holds-twice",
        "desk/gcra.rs",
        "if allowed_at > now_ns {",
        "if allowed_at > now_ns.saturating_add(rate.period_ns()) {",
    ),
    mutant(
        "one-call-too-many-in-flight",
        "desk/owner.rs",
        "limits.concurrency.is_some_and(|max| self.in_flight >= max)",
        "limits.concurrency.is_some_and(|max| self.in_flight > max)",
    ),
    // money
    mutant(
        "calls-in-flight-share-a-budget",
        "desk/budget.rs",
        "} else if charged.saturating_add(self.reserved) > limit.0 {",
        "} else if charged.saturating_add(self.reserved) > limit.0.saturating_mul(2) {",
    ),
    mutant(
        "a-budget-does-not-wait-for-the-ledger",
        "call/machine.rs",
        "if self.is_budgeted() && !self.durable => self.stage",
        "if self.is_budgeted() && self.gone => self.stage",
    ),
    mutant(
        "a-budget-is-charged-nothing",
        "call/bound.rs",
        "Some(cost) if is_whole || !self.is_budgeted() => cost,",
        "Some(_) if is_whole || !self.is_budgeted() => Nano(0),",
    ),
    mutant(
        "an-unknown-cost-is-zero",
        "record.rs",
        "sum.0.checked_add(attempt.cost_nano?.0)?",
        "sum.0.checked_add(attempt.cost_nano.unwrap_or_default().0)?",
    ),
    mutant(
        "money-is-rounded-down",
        "price.rs",
        "pico.div_ceil(1_000)",
        "pico / 1_000",
    ),
    // replay
    mutant(
        "when-it-last-flowed-is-forgotten",
        "call/step.rs",
        "        progress.at = at;\n",
        "",
    ),
    mutant(
        "a-denial-is-not-recorded",
        "call/machine.rs",
        "self.step(Fact::Desk(reply));\n        match reply {\n            DeskReply::Denied {\n                bucket,\n                free_at,\n                shed,",
        "match reply {\n            DeskReply::Denied {\n                bucket,\n                free_at,\n                shed,",
    ),
];
