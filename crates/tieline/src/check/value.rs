//! Single values: numbers in their range, names, training compute, country codes, addresses, URLs.
//! Each function reports what is wrong and returns none.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use tieline_gateway::ClaimFact;
use tieline_policy::Country;

use super::checked::Endpoint;
use crate::diagnose::{Code, Diagnostic, Sink, shown};
use crate::raw::At;

/// Bytes of a name; the core keeps names of requests up to the same length.
const NAME_BYTES_MAX: usize = 128;

/// Whether a text is a day, such as `2026-11-20`.
pub(super) fn is_day(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// Decimal digits of training compute: 1e30 FLOP is ten thousand times the largest run that is publicly known.
const FLOP_DIGITS_MAX: usize = 31;

/// A number in a range, or the default if it is not stated. A number out of range is reported and replaced by the
/// default.
pub(crate) fn number(
    raw: Option<&At<u64>>,
    key: &str,
    default: u64,
    min: u64,
    max: u64,
    sink: &mut Sink,
) -> u64 {
    let Some(at) = raw else { return default };
    if (min..=max).contains(&at.value) {
        return at.value;
    }
    let message = format!("`{key}` is out of range");
    let wants = format!("{} to {}", grouped(min), grouped(max));
    sink.push(Diagnostic::error(Code::OutOfRange, message).at(at.span, format!("wants {wants}")));
    default
}

/// As [`number`], for settings that have no default.
pub(crate) fn number_if_stated(raw: Option<&At<u64>>, key: &str, max: u64, sink: &mut Sink) -> Option<u64> {
    raw.map(|at| number(Some(at), key, 1, 1, max, sink))
}

/// `1,000,000` for 1000000.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (digit, left) in digits.chars().zip((0..digits.len()).rev()) {
        out.push(digit);
        if left > 0 && left % 3 == 0 {
            out.push(',');
        }
    }
    out
}

/// A name of the grid. `what` is what it names.
pub(crate) fn name(at: &At<String>, what: &str, sink: &mut Sink) -> Option<Arc<str>> {
    let text = at.value.as_str();
    let is_fit = |b: u8| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b);
    let label = if text.is_empty() {
        "empty"
    } else if text.len() > NAME_BYTES_MAX {
        "longer than 128 bytes"
    } else if !text.bytes().all(is_fit) {
        "only `A-Z a-z 0-9 . _ : / @ -` can stand in a name"
    } else {
        return Some(Arc::from(text));
    };
    sink.push(
        Diagnostic::error(
            Code::NameBad,
            format!("`{}` cannot be the name of a {what}", shown(text)),
        )
        .at(at.span, label),
    );
    None
}

/// What a channel calls a model: anything that can stand in a JSON string and is not empty or absurd.
pub(crate) fn name_there(at: &At<String>, sink: &mut Sink) -> Option<Arc<str>> {
    let text = at.value.as_str();
    if !text.is_empty() && text.len() <= 256 && !text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Some(Arc::from(text));
    }
    sink.push(
        Diagnostic::error(Code::NameBad, "the model's name on the channel cannot be used")
            .at(at.span, "wants 1 to 256 bytes without spaces"),
    );
    None
}

/// `kind:name`, such as `region:aws/us-east-1`.
pub(crate) fn component(at: &At<String>, sink: &mut Sink) -> Option<Arc<str>> {
    let is_kind = |kind: &str| {
        kind.starts_with(|c: char| c.is_ascii_lowercase())
            && kind
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._/@-".contains(&b))
    };
    let text = at.value.as_str();
    if text.len() <= NAME_BYTES_MAX
        && text
            .split_once(':')
            .is_some_and(|(kind, name)| is_kind(kind) && is_name(name))
    {
        return Some(Arc::from(text));
    }
    let diagnostic = Diagnostic::error(
        Code::ComponentBad,
        format!("`{}` is not a component", shown(text)),
    )
    .at(at.span, "wants `kind:name`");
    let lower = text.to_ascii_lowercase();
    sink.push(
        if lower != text && text.contains(':') && lower.split(':').next().is_some_and(is_kind) {
            diagnostic.hint("the kind is written in lower case")
        } else {
            diagnostic
                .hint("for example `cloud:aws`, `region:aws/us-east-1`, `lab:anthropic` or `edge:cloudflare`")
        },
    );
    None
}

/// Training compute as exact decimal digits; none for `unknown`.
pub(crate) fn flop(at: &At<String>, sink: &mut Sink) -> Option<Arc<str>> {
    if at.value == "unknown" {
        return None;
    }
    let digits = flop_digits(&at.value);
    if digits.is_none() {
        sink.push(
            Diagnostic::error(
                Code::FlopBad,
                format!("`{}` is not a count of operations", shown(&at.value)),
            )
            .at(at.span, "wants FLOP")
            .hint("a whole number up to 1e30, such as \"3.8e25\", or \"unknown\""),
        );
    }
    digits.map(Arc::from)
}

/// `3.8e25` as `38000000000000000000000000`: exact, for thresholds of law are compared with it.
fn flop_digits(text: &str) -> Option<String> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |part: &str| part.len() <= FLOP_DIGITS_MAX && part.bytes().all(|b| b.is_ascii_digit());
    let is_number = !whole.is_empty() && is_digits(whole) && is_digits(fraction);
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
    let is_number = is_number && is_digits(exponent);
    let exponent: usize = exponent.parse().ok()?;
    let fraction = fraction.trim_end_matches('0');
    if !is_number || exponent >= FLOP_DIGITS_MAX || fraction.len() > exponent {
        return None;
    }
    let zeros = "0".repeat(exponent - fraction.len());
    let digits = format!("{whole}{fraction}{zeros}");
    let digits = digits.trim_start_matches('0');
    let is_fit = !digits.is_empty()
        && (digits.len() < FLOP_DIGITS_MAX || digits == format!("1{}", "0".repeat(FLOP_DIGITS_MAX - 1)));
    is_fit.then(|| digits.to_owned())
}

pub(crate) fn jurisdiction(at: &At<String>, sink: &mut Sink) -> Option<Arc<str>> {
    let is_whole = at.value.len() == 2;
    if is_whole && Country::parse(&at.value).is_ok() {
        return Some(Arc::from(at.value.as_str()));
    }
    let upper = at.value.to_ascii_uppercase();
    let diagnostic = Diagnostic::error(
        Code::JurisdictionBad,
        format!("`{}` is not a country code", shown(&at.value)),
    )
    .at(at.span, "wants ISO 3166-1 alpha-2");
    let hint = match upper.as_str() {
        "UK" => "the code of the United Kingdom is `GB`".to_owned(),
        "EU" => "the Union is no country: name the member state whose law it is, such as `FR`".to_owned(),
        "USA" => "the code has two letters: `US`".to_owned(),
        _ if upper.len() == 2 && Country::parse(&upper).is_ok() => {
            format!("codes are written in capitals: `{upper}`")
        }
        _ => "for example `US`, `FR`, `CN` or `DE`".to_owned(),
    };
    sink.push(diagnostic.hint(hint));
    None
}

/// `address:port`.
pub(crate) fn address(at: &At<String>, key: &str, sink: &mut Sink) -> Option<SocketAddr> {
    if let Ok(address) = at.value.parse() {
        return Some(address);
    }
    let diagnostic = Diagnostic::error(
        Code::AddressBad,
        format!("`{key}` is not an address: `{}`", shown(&at.value)),
    )
    .at(at.span, "wants `address:port`");
    let (host, port) = at.value.rsplit_once(':').unwrap_or((&at.value, ""));
    let hint = if host == "localhost" && port.parse::<u16>().is_ok() {
        format!("an IP address, not a name: `127.0.0.1:{port}`")
    } else if host.is_empty() && port.parse::<u16>().is_ok() {
        format!("`127.0.0.1:{port}` for this machine alone, `0.0.0.0:{port}` for every network")
    } else if at.value.parse::<std::net::IpAddr>().is_ok() {
        "the port is missing".to_owned()
    } else if port.bytes().all(|b| b.is_ascii_digit()) && port.len() > 4 {
        "ports end at 65535".to_owned()
    } else {
        "for example `127.0.0.1:8080`".to_owned()
    };
    sink.push(diagnostic.hint(hint));
    None
}

/// A channel's URL. Nothing of it is repeated in the message if it holds credentials.
pub(crate) fn url(at: &At<String>, sink: &mut Sink) -> Option<Endpoint> {
    match endpoint(&at.value) {
        Ok(endpoint) => Some(endpoint),
        Err((label, hint)) => {
            let has_secret = at.value.contains('@') || at.value.contains('?');
            let message = if has_secret {
                "the URL cannot be used".to_owned()
            } else {
                format!("`{}` cannot be used as a URL", shown(&at.value))
            };
            let diagnostic = Diagnostic::error(Code::UrlBad, message)
                .at(at.span, label)
                .hint(hint);
            sink.push(if has_secret {
                diagnostic.secret()
            } else {
                diagnostic
            });
            None
        }
    }
}

type Refusal = (&'static str, &'static str);

/// The parts of `scheme://host[:port][/path]` (RFC 3986).
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, Refusal> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or(("no scheme", "start with `https://`"))?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return Err(("another scheme", "tieline speaks `https://` and `http://`")),
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    if rest.contains(['?', '#']) {
        return Err((
            "a query or fragment",
            "leave out what follows `?` or `#`; a key belongs into `credential`",
        ));
    }
    if authority.contains('@') {
        return Err((
            "credentials in the URL",
            "move them into `credential`, and replace them: they were written down",
        ));
    }
    let (host, port) = host_and_port(authority).ok_or(("no usable host", "write `host` or `host:port`"))?;
    let is_path = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&b);
    if !path.bytes().all(is_path) {
        return Err(("a path that no URL has", "escape it with `%`"));
    }
    Ok(Endpoint {
        base: path.trim_end_matches('/').to_owned(),
        host,
        port: port.unwrap_or(if tls { 443 } else { 80 }),
        tls,
    })
}

fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        address.parse::<std::net::Ipv6Addr>().ok()?;
        (format!("[{address}]"), port)
    } else {
        let at = authority.find(':').unwrap_or(authority.len());
        let (host, port) = authority.split_at_checked(at)?;
        let is_host = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
        if host.is_empty() || host.len() > 253 || !host.bytes().all(is_host) {
            return None;
        }
        (host.to_ascii_lowercase(), port)
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((host, None)),
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .map(|port| (host, Some(port))),
        None => None,
    }
}

/// A path of the file, from the file's folder.
pub(crate) fn path(base: &Path, text: &str) -> PathBuf {
    base.join(text)
        .components()
        .filter(|part| !matches!(part, Component::CurDir))
        .collect()
}

/// Values of a fact, each reported that the fact does not take.
pub(super) fn of_fact<'a>(
    fact: ClaimFact,
    stated: impl IntoIterator<Item = &'a At<String>>,
    (code, label): (Code, &'static str),
    sink: &mut Sink,
) -> Vec<String> {
    let mut values = Vec::new();
    for at in stated {
        if !fact.takes(&at.value) {
            let says = format!("`{}` is no value of the fact `{}`", shown(&at.value), fact.name());
            sink.push(Diagnostic::error(code, says).at(at.span, label));
        }
        values.push(at.value.clone());
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_compute_is_exact() {
        let check =
            |text: &str, digits: Option<&str>| assert_eq!(flop_digits(text).as_deref(), digits, "{text}");
        check("1e25", Some("10000000000000000000000000"));
        check("3.8e25", Some("38000000000000000000000000"));
        check("1e30", Some("1000000000000000000000000000000"));
        check("1e+3", Some("1000"));
        check("12.50e1", Some("125"));
        for bad in [
            "", "e25", "1e31", "2e30", "-1e25", "1.5", "1e", "0", "0e3", "1e-3", "10^25", "NaN",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn urls_are_taken_apart() {
        let check = |text: &str, host: &str, port: u16, base: &str, tls: bool| {
            let expected = Endpoint {
                base: base.into(),
                host: host.into(),
                port,
                tls,
            };
            assert_eq!(endpoint(text), Ok(expected), "{text}");
        };
        check("https://api.openai.com", "api.openai.com", 443, "", true);
        check("https://api.openai.com/v1/", "api.openai.com", 443, "/v1", true);
        check("http://[::1]:8090", "[::1]", 8090, "", false);
        check(
            "https://X.example/openai/v1",
            "x.example",
            443,
            "/openai/v1",
            true,
        );
        check("HTTP://127.0.0.1:80/a/b/", "127.0.0.1", 80, "/a/b", false);
        for bad in [
            "",
            "api.openai.com",
            "ftp://a",
            "https://",
            "https:///v1",
            "https://a:b",
            "https://a:0",
            "https://a:65536",
            "https://u:p@a",
            "https://a?x=1",
            "https://a/#f",
            "https://[::1",
            "https://[x]",
            "https://a b",
            "https://a/\u{e9}",
            "https://a:1:2",
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_authority_leaves_out_the_usual_port() {
        assert_eq!(endpoint("https://a.example").unwrap().authority(), "a.example");
        assert_eq!(
            endpoint("https://a.example:8443").unwrap().authority(),
            "a.example:8443"
        );
        assert_eq!(
            endpoint("http://a.example:443").unwrap().authority(),
            "a.example:443"
        );
    }
}
