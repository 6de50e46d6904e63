//! How long a channel asks us to wait, in ms. There is no clock here: dates are read against the reply's own `date`, and
//! without one they say nothing.

use tieline_core::FaultKind;

use super::channel::ChannelKind;
use super::words::Words;
use crate::calendar::{DAY_S, days, http_date_s, next_month_s, next_pacific_day_s, time_of_day_s};

/// What a channel may ask us to wait at most: a day. Longer is a mistake or a spent account.
const RETRY_AFTER_MS_MAX: u64 = DAY_S * 1_000;

/// A spent account is reset within a month: limits of spend are counted by the calendar month, which has 31 days at most.
const SPEND_RESET_MS_MAX: u64 = 31 * DAY_S * 1_000;

/// The wait that follows from a fault of this kind, if the channel told it.
pub(super) fn wait_ms<'h>(
    channel: ChannelKind,
    kind: FaultKind,
    header: &dyn Fn(&str) -> Option<&'h str>,
    words: &Words,
) -> Option<u64> {
    match kind {
        FaultKind::NotReady | FaultKind::Overload | FaultKind::Rate | FaultKind::Transient => {
            let ms = retry_after_ms(header).or_else(|| duration_ms(&words.retry_delay));
            ms.map(|ms| ms.min(RETRY_AFTER_MS_MAX))
        }
        FaultKind::Spend => reset_ms(channel, header, words).map(|ms| ms.min(SPEND_RESET_MS_MAX)),
        _ => None,
    }
}

/// `retry-after-ms`, `retry-after` (seconds, or a date), or the reset of whichever limit of OpenAI's says that nothing
/// remains.
fn retry_after_ms<'h>(header: &dyn Fn(&str) -> Option<&'h str>) -> Option<u64> {
    let reset = |what: [&str; 2]| {
        let [remaining, reset] = what;
        (header(remaining)?.trim() == "0")
            .then(|| duration_ms(header(reset)?))
            .flatten()
    };
    let resets = || {
        let requests = reset(["x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]);
        requests.max(reset([
            "x-ratelimit-remaining-tokens",
            "x-ratelimit-reset-tokens",
        ]))
    };
    told_ms(header).or_else(resets)
}

fn told_ms<'h>(header: &dyn Fn(&str) -> Option<&'h str>) -> Option<u64> {
    let exact = header("retry-after-ms").and_then(|v| number_ms(v, 1.0));
    exact.or_else(|| {
        let value = header("retry-after")?;
        number_ms(value, 1_000.0).or_else(|| {
            let until_s = http_date_s(value)?;
            Some(
                until_s
                    .saturating_sub(http_date_s(header("date")?)?)
                    .saturating_mul(1_000),
            )
        })
    })
}

/// When a spent account can be used again. Google sends a delay of seconds with a spent day, so what is known of the reset
/// comes before what the channel asks for.
fn reset_ms<'h>(
    channel: ChannelKind,
    header: &dyn Fn(&str) -> Option<&'h str>,
    words: &Words,
) -> Option<u64> {
    let now_s = || http_date_s(header("date")?);
    let until_s = || {
        let now_s = now_s()?;
        let until_s = match channel {
            // Its limits of a tier last until the first of the next month, 00:00 UTC; those that customers set say when.
            ChannelKind::Anthropic if words.detail == "enforced_spend_limit_reached" => next_month_s(now_s),
            ChannelKind::Anthropic => regained_s(&words.message),
            // "Requests per day (RPD) quotas reset at midnight Pacific time."
            ChannelKind::Gemini if words.is_daily_quota() => next_pacific_day_s(now_s),
            _ => None,
        }?;
        Some(until_s.saturating_sub(now_s).saturating_mul(1_000))
    };
    until_s().or_else(|| told_ms(header))
}

/// The date in `… you will regain access on 2026-12-01 at 00:00 utc.`
fn regained_s(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once("regain access on ")?;
    let (date, rest) = rest.split_once(" at ")?;
    let (time, _) = rest.split_once(" utc")?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let days = days(parts.next()??, parts.next()??, parts.next()??)?;
    Some(days * DAY_S + time_of_day_s(time)?)
}

/// A decimal number of `unit_ms`, rounded up to whole ms.
fn number_ms(text: &str, unit_ms: f64) -> Option<u64> {
    let value: f64 = text.trim().parse().ok()?;
    if !value.is_finite() || value < 0.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "finite, not negative, saturates"
    )]
    Some((value * unit_ms).ceil() as u64)
}

/// A duration as Go and Google write it: `6m0s`, `1.5s`, `20ms`.
fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut sum_ms = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit)?;
        let unit_ms = match unit {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        sum_ms = sum_ms.saturating_add(number_ms(number, unit_ms)?);
        rest = tail;
    }
    (!text.trim().is_empty()).then_some(sum_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, ms) in [
            ("6m0s", Some(360_000)),
            ("1.5s", Some(1_500)),
            ("20ms", Some(20)),
            ("1h2m3s", Some(3_723_000)),
        ] {
            assert_eq!(duration_ms(text), ms, "{text}");
        }
        for bad in ["", "6", "s", "6x", "-1s"] {
            assert_eq!(duration_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_date_of_regained_access_is_read() {
        let says = "you will regain access on 2026-12-01 at 00:00 utc.";
        assert_eq!(regained_s(says), Some(1_796_083_200));
        for bad in [
            "",
            "you will regain access on friday at 00:00 utc.",
            "regain access on 2026-13-01 at 00:00 utc",
            "regain access on 2026-12-01 at 25:00 utc",
            "regain access on 2026-12-01",
        ] {
            assert_eq!(regained_s(bad), None, "{bad}");
        }
    }
}
