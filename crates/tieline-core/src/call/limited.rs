//! What a caller is told whose reservation did not fit: whose limit, which, and when to come back.

use crate::desk::{Bucket, DeskReply};
use crate::problem::{Code, Problem, Retry};
use crate::time::{Span, Tick};

/// How long to wait for money that calls in flight hold: most answers have come by then.
const IN_FLIGHT_WAIT: Span = Span::from_s(1);

/// The refusal that follows from a reply; none from a grant.
pub(super) fn problem(reply: DeskReply, now: Tick) -> Option<Problem> {
    let DeskReply::Denied {
        bucket,
        free_at,
        in_flight,
        owner,
        shed: _,
    } = reply
    else {
        return None;
    };
    let retry = match (free_at, in_flight, bucket) {
        (Some(at), _, _) => Retry::After(at.since(now)),
        (None, true, bucket) if bucket.is_budget() => Retry::After(IN_FLIGHT_WAIT),
        (None, _, Bucket::Concurrency) => Retry::Free,
        // More than the whole limit: waiting does not help.
        (None, _, _) => Retry::Never,
    };
    let what = format!("{}'s {}", owner.name(), bucket.name());
    let says = match (free_at, in_flight, bucket) {
        (_, _, Bucket::Concurrency) => format!("The {} has as many calls in flight as it may.", owner.name()),
        (Some(at), _, _) => {
            let verb = if bucket.is_budget() { "is" } else { "are" };
            format!("The {what} {verb} used up until {}.", at.rfc3339())
        }
        (None, true, _) => {
            format!("What is left of the {what} is reserved by calls in flight; it frees when they end.")
        }
        (None, false, _) => format!("The call may need more than all of the {what}."),
    };
    Some(Problem::new(code(bucket), says).with_retry(retry))
}

const fn code(bucket: Bucket) -> Code {
    match bucket {
        Bucket::BudgetPerDay | Bucket::BudgetPerMonth | Bucket::BudgetPerWeek => Code::BudgetLimit,
        Bucket::Concurrency => Code::ConcurrencyLimit,
        Bucket::FairShare | Bucket::RequestsPerDay | Bucket::RequestsPerMinute => Code::RequestLimit,
        Bucket::InputTokensPerMinute
        | Bucket::OutputTokensPerMinute
        | Bucket::TokensInFlight
        | Bucket::TokensPerDay
        | Bucket::TokensPerMinute => Code::TokenLimit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::BucketOwner;

    fn check(bucket: Bucket, free_at: Option<u64>, in_flight: bool, expected: &str, retry: Retry) {
        let reply = DeskReply::Denied {
            bucket,
            free_at: free_at.map(Tick),
            in_flight,
            owner: BucketOwner::Party,
            shed: false,
        };
        let problem = problem(reply, Tick(0)).unwrap();
        assert_eq!((&*problem.says, problem.retry), (expected, retry));
    }

    #[test]
    fn a_refusal_names_the_bucket_and_when_it_frees() {
        let minute = Some(60_000_000);
        let wait = |s| Retry::After(Span::from_s(s));
        let (day, tokens) = (Bucket::BudgetPerDay, Bucket::TokensPerMinute);
        check(
            tokens,
            minute,
            false,
            "The party's tokens per minute are used up until 1970-01-01T00:01:00Z.",
            wait(60),
        );
        check(
            tokens,
            None,
            false,
            "The call may need more than all of the party's tokens per minute.",
            Retry::Never,
        );
        check(
            day,
            minute,
            false,
            "The party's budget of the day is used up until 1970-01-01T00:01:00Z.",
            wait(60),
        );
        check(
            day,
            None,
            true,
            "What is left of the party's budget of the day is reserved by calls in flight; it frees when they end.",
            wait(1),
        );
        check(
            Bucket::Concurrency,
            None,
            true,
            "The party has as many calls in flight as it may.",
            Retry::Free,
        );
        assert_eq!(super::problem(DeskReply::Granted, Tick(0)), None);
    }
}
