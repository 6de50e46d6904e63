//! A recorded call in sentences: who asked for what, what was decided about each candidate and why, what each attempt
//! met, how it ended and what it cost. Reads only the two entries, so it says the same on every machine.

use std::fmt::Write as _;

use crate::call::{Fact, Why};
use crate::record::{AskRecord, AttemptRecord, DecisionEntry, Outcome, OutcomeEntry, PlanRecord};
use crate::verdict::{Ruling, Verdict};

/// The explanation, one sentence a line. `outcome` is absent while the call is in flight.
pub fn explain(decision: &DecisionEntry, outcome: Option<&OutcomeEntry>) -> Vec<String> {
    let mut lines = vec![asked(decision)];
    if let Some(code) = decision.code {
        lines.push(format!(
            "It was refused at admission: {} ({}).",
            code.title().trim_end_matches('.'),
            code.number()
        ));
    }
    for row in &decision.plan {
        lines.push(candidate(row));
    }
    if let Some(nano) = decision.reserved_nano {
        lines.push(format!(
            "At most {nano} USD were reserved of the budgets that pay for it."
        ));
    }
    for (number, verdict) in verdicts(decision).enumerate() {
        lines.push(judged(number, verdict, decision));
    }
    match outcome {
        None => {
            lines.push("It has no outcome yet: it is in flight, or the process ended before it did.".into());
        }
        Some(outcome) => {
            let attempts = outcome.attempts.iter().zip(1..);
            lines.extend(attempts.map(|(attempt, number)| attempted(number, attempt)));
            lines.push(ended(decision, outcome));
            let losses = outcome.loss.iter();
            lines.extend(losses.map(|loss| format!("Translation of `{}`: {}.", loss.path, loss.why)));
        }
    }
    lines
}

fn asked(decision: &DecisionEntry) -> String {
    let intake = &decision.intake;
    let what = match &intake.ask {
        AskRecord::Model(name) => format!("the model `{name}`"),
        AskRecord::Pool(name) => format!("the pool `{name}`"),
        AskRecord::Unknown(Some(name)) => format!("`{name}`, which this grid does not have"),
        AskRecord::Unknown(None) => "a name that this grid does not have".into(),
        AskRecord::Unreadable(code) => format!("something that could not be read ({})", code.name()),
    };
    let end_use = match &intake.end_use {
        Some(code) => format!(" It said that it is for `{code}`."),
        None => String::new(),
    };
    let how = if intake.stream { "streamed" } else { "in one piece" };
    format!(
        "Call {}: party {} with key {} asked for {what} in dialect {}, {how}, {} bytes of request.",
        decision.id,
        intake.party,
        intake.key,
        intake.dialect.name(),
        intake.body_bytes
    ) + &end_use
}

fn candidate(row: &PlanRecord) -> String {
    let why = match row.why {
        Why::Again => "had failed this call, and may be asked once more".into(),
        Why::Ailing => "was passed over: too many of its attempts fail".into(),
        Why::Barred => "was passed over: further attempts there have used up their share".into(),
        Why::Chosen => "was chosen: the best of the first model in the pool's order that may serve".into(),
        Why::Denied => "may not serve: a rule denies it".into(),
        Why::Full => "was passed over: it has as many attempts in flight as it seems to take".into(),
        Why::Held => "may not serve yet: a rule holds it for an officer".into(),
        Why::Lacking => "was passed over: it has refused something that the request asks for".into(),
        Why::Limited => {
            let bucket = row
                .limited
                .map_or_else(String::new, |bucket| format!(" ({})", bucket.name()));
            format!("was passed over: its limit is used up{bucket}")
        }
        Why::Open => "was passed over: its breaker is open after repeated faults".into(),
        Why::Out => "was passed over: it was cut, by itself or by a component that it depends on".into(),
        Why::Resting => {
            "was passed over: it asked to be left alone for a while, or its account is spent".into()
        }
        Why::Shed => {
            let bucket = row
                .limited
                .map_or_else(String::new, |bucket| format!(" ({})", bucket.name()));
            format!("was passed over: what is left of its limit is kept for others{bucket}")
        }
        Why::Standby => "stood by: it may serve, another comes first".into(),
        Why::Tried => "had been tried".into(),
        Why::Unfit => "was passed over: it cannot serve this request, as another attempt had shown".into(),
        Why::Unpriced => {
            "was passed over: its price is unknown, and a budget or the configuration wants it known".into()
        }
        Why::Unasked => "was not considered: the call was refused before".into(),
    };
    format!("Candidate {} on channel {} {why}.", row.model, row.channel)
}

fn verdicts(decision: &DecisionEntry) -> impl Iterator<Item = &Verdict> {
    let steps = decision.inputs.iter().filter_map(|step| match &step.fact {
        Fact::Verdicts(verdicts) => Some(verdicts),
        _ => None,
    });
    steps.flatten().map(|judged| &*judged.0)
}

fn judged(row: usize, verdict: &Verdict, decision: &DecisionEntry) -> String {
    let ruling = match verdict.ruling {
        Ruling::Allow => "allows",
        Ruling::Deny => "denies",
        Ruling::Hold => "holds",
    };
    let place = decision
        .plan
        .get(row)
        .map_or_else(String::new, |row| format!("{} on {}", row.model, row.channel));
    let mut line = format!("Policy (epoch {}) {ruling} {place}", verdict.epoch);
    for (rule, joint) in verdict
        .rules
        .iter()
        .zip(std::iter::once(": ").chain(std::iter::repeat("; ")))
    {
        let _ = write!(line, "{joint}rule {}", rule.id);
        if !rule.reason.is_empty() {
            let _ = write!(line, ", \"{}\" ({})", rule.reason, rule.citation);
        }
    }
    line.push('.');
    if let Some(brought) = brought(verdict) {
        line.push(' ');
        line.push_str(&brought);
    }
    line
}

/// What a verdict brings beside its ruling: counted licences that it uses, and duties by the ids of their rules.
fn brought(verdict: &Verdict) -> Option<String> {
    let consumes: Vec<&str> = verdict.consumes.iter().map(|id| &**id).collect();
    let uses = match &*consumes {
        [] => None,
        [id] => Some(format!("It uses one unit of the licence {id}.")),
        ids => Some(format!(
            "It uses one unit each of the licences {}.",
            ids.join(", ")
        )),
    };
    let duties: Vec<&str> = verdict.obligations.iter().map(|rule| &*rule.id).collect();
    let obliges = (!duties.is_empty()).then(|| format!("It obliges: {}.", duties.join(", ")));
    let sentences: Vec<String> = uses.into_iter().chain(obliges).collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

fn attempted(number: usize, attempt: &AttemptRecord) -> String {
    let ms = attempt.ended_at.since(attempt.dialled_at).0.div_ceil(1_000);
    let mut line = format!(
        "Attempt {number}: {} on channel {}",
        attempt.model, attempt.channel
    );
    if let Some(method) = attempt.resumes {
        let _ = write!(line, ", to go on with the answer (`{}`)", method.name());
    }
    if let Some(status) = attempt.status {
        let _ = write!(line, ", status {status}");
    }
    if let Some(ttft) = attempt.ttft_us {
        let _ = write!(line, ", first content after {} ms", ttft.as_ms_ceil());
    }
    match attempt.fault {
        Some(fault) => {
            let kind = fault.kind.name();
            let _ = write!(line, ", failed after {ms} ms with fault `{kind}`");
            if let Some(limit) = fault.limit {
                let _ = write!(line, " (`{}` passed)", limit.setting());
            }
            if let Some(status) = fault.status {
                let _ = write!(line, " (status {status})");
            }
        }
        None if attempt.is_ordered => {
            let _ = write!(line, ", stopped after {ms} ms by an order that came into force");
        }
        None => {
            let _ = write!(line, ", ended after {ms} ms");
        }
    }
    line.push('.');
    line
}

fn ended(decision: &DecisionEntry, outcome: &OutcomeEntry) -> String {
    let took = outcome.at.since(decision.began).as_ms_ceil();
    let how = match outcome.result {
        Outcome::Abandoned => "the caller went away, or a shutdown cut it off".into(),
        Outcome::Broken => "the answer broke off after part of it was delivered".into(),
        Outcome::Lost => "the process ended before the call did".into(),
        Outcome::Refused => outcome.code.map_or_else(
            || "it was refused".into(),
            |code| format!("it was refused with {} ({})", code.name(), code.number()),
        ),
        Outcome::Relayed => "the channel's own error went to the caller".into(),
        Outcome::Served => "it was served".into(),
    };
    let mut line = format!("After {took} ms {how}");
    if outcome.attempts.is_empty() && outcome.result != Outcome::Lost {
        line.push_str("; no channel was asked.");
        return line;
    }
    match outcome.usage {
        Some(usage) => {
            let prompt = usage.input + usage.cache_read + usage.cache_write;
            let _ = write!(
                line,
                "; {prompt} prompt and {} answer tokens",
                usage.output + usage.reasoning
            );
        }
        None => line.push_str("; usage unknown"),
    }
    match outcome.cost_nano {
        Some(cost) => {
            let _ = write!(line, "; cost {cost} USD.");
        }
        None => line.push_str("; cost unknown."),
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn check(consumes: &[&str], duties: &[&str], expected: Option<&str>) {
        let verdict = Verdict {
            consumes: consumes.iter().map(|id| Arc::from(*id)).collect(),
            epoch: 1,
            obligations: (duties.iter())
                .map(|id| crate::Rule {
                    citation: "".into(),
                    id: (*id).into(),
                    reason: "".into(),
                })
                .collect(),
            ruling: Ruling::Allow,
            rules: Arc::default(),
            valid_until: None,
        };
        assert_eq!(brought(&verdict).as_deref(), expected);
    }

    #[test]
    fn what_a_verdict_uses_and_demands_is_said() {
        check(&[], &[], None);
        check(&["l"], &[], Some("It uses one unit of the licence l."));
        check(
            &["l", "m"],
            &["eu/logs", "eu/marks"],
            Some("It uses one unit each of the licences l, m. It obliges: eu/logs, eu/marks."),
        );
        check(&[], &["eu/logs"], Some("It obliges: eu/logs."));
    }
}
