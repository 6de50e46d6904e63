//! Listeners, limits, logs, policy and ledger.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tieline_gateway::IpNetwork;
use tieline_note::Verifier;
use tieline_policy::Status;

use super::checked::{
    ClientAuth, GatewaySettings, LedgerSettings, LogSettings, OnFull, PolicySettings, SignerSettings,
    TlsFiles,
};
use super::{World, grid, kind, value};
use crate::diagnose::{Code, Diagnostic, Sink, shown};
use crate::raw::At;
use crate::raw::shape::{
    RawClientAuth, RawGateway, RawLedger, RawLevel, RawLogFormat, RawOnFull, RawOrders, RawPolicy,
    RawStatements, RawStatus, RawTls,
};

/// The defaults of the listeners.
const LISTEN: SocketAddr = SocketAddr::new(LOOPBACK, 8080);
const ADMIN: SocketAddr = SocketAddr::new(LOOPBACK, 8081);
const LOOPBACK: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Connections and calls of one process: at 16 KiB of buffers each, a million is all that a large machine holds.
const CONNECTIONS_MAX: u64 = 1_000_000;

/// Networks of proxies: a few for each place that has load balancers.
const PROXIES_MAX: usize = 64;

/// An hour.
const WAIT_MS_MAX: u64 = 3_600_000;

/// An origin that a log has until its operator names it.
const ORIGIN: &str = "tieline.local/log";

/// 65,536 entries of about 1 KB are 64 MiB, and a second of the writer's work.
const QUEUE_ENTRIES: u64 = 1 << 16;

pub(super) fn gateway(raw: Option<&At<RawGateway>>, world: World<'_>, sink: &mut Sink) -> GatewaySettings {
    let empty = RawGateway::default();
    let raw = raw.map_or(&empty, |at| &at.value);
    let listen = raw
        .listen
        .as_ref()
        .map_or(Some(LISTEN), |at| value::address(at, "listen", sink));
    let admin = raw
        .admin
        .as_ref()
        .map_or(Some(ADMIN), |at| value::address(at, "admin", sink));
    if let (Some(listen), Some(admin)) = (listen, admin) {
        addresses(raw, listen, admin, sink);
    }
    let (listen, admin) = (listen.unwrap_or(LISTEN), admin.unwrap_or(ADMIN));
    let tls = tls(raw, world, sink);
    let mut number = |at: &Option<At<u64>>, key: &str, default: u64, min: u64, max: u64| {
        value::number(at.as_ref(), key, default, min, max, sink)
    };
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    GatewaySettings {
        admin,
        admin_is_tls: tls.is_some() && !admin.ip().is_loopback(),
        body_bytes_max: size(number(
            &raw.body_bytes_max,
            "body_bytes_max",
            32 << 20,
            1 << 10,
            1 << 30,
        )),
        body_ms: number(&raw.body_ms, "body_ms", 30_000, 1, WAIT_MS_MAX),
        calls_max: size(number(&raw.calls_max, "calls_max", 10_000, 1, CONNECTIONS_MAX)),
        connections_max: size(number(
            &raw.connections_max,
            "connections_max",
            10_000,
            1,
            CONNECTIONS_MAX,
        )),
        drain_ms: number(&raw.drain_ms, "drain_ms", 10_000, 0, WAIT_MS_MAX),
        header_bytes_max: size(number(
            &raw.header_bytes_max,
            "header_bytes_max",
            64 << 10,
            1 << 10,
            1 << 20,
        )),
        header_ms: number(&raw.header_ms, "header_ms", 30_000, 1, WAIT_MS_MAX / 6),
        listen,
        threads: size(number(&raw.threads, "threads", 0, 0, 1_024)),
        tls,
        trusted_proxies: trusted_proxies(raw, sink),
    }
}

/// What the two addresses have to do with each other and with the network.
fn addresses(raw: &RawGateway, listen: SocketAddr, admin: SocketAddr, sink: &mut Sink) {
    let covers = |a: SocketAddr, b: SocketAddr| a.ip() == b.ip() || a.ip().is_unspecified();
    let is_same = listen.port() == admin.port()
        && listen.port() != 0
        && (covers(listen, admin) || covers(admin, listen));
    if is_same {
        // One of the two is stated, for the defaults differ.
        let (at, other) = match (&raw.admin, &raw.listen) {
            (Some(admin), listen) => (Some(admin), listen.as_ref()),
            (None, listen) => (listen.as_ref(), None),
        };
        let mut diagnostic = Diagnostic::error(
            Code::AddressTwice,
            format!("`listen` ({listen}) and `admin` ({admin}) cannot share a port"),
        )
        .hint("give `admin` another port, such as 8081");
        if let Some(at) = at {
            diagnostic = diagnostic.at(at.span, "taken");
        }
        if let Some(other) = other {
            diagnostic = diagnostic.also(other.span, "by this");
        }
        sink.push(diagnostic);
    }
    let has_tls = raw.seen.contains(&"tls");
    if let Some(at) = raw
        .admin
        .as_ref()
        .filter(|_| !admin.ip().is_loopback() && !has_tls)
    {
        sink.push(
            Diagnostic::error(
                Code::AddressExposed,
                "the admin listener is open to other machines without TLS",
            )
            .at(at.span, "admin keys would cross the network in clear text")
            .hint(
                "listen on `127.0.0.1`, or set `tls = { cert = \"...\", key = \"...\" }` under `[gateway]`",
            ),
        );
    }
    if let Some(at) = raw
        .listen
        .as_ref()
        .filter(|_| !listen.ip().is_loopback() && !has_tls)
    {
        sink.push(
            Diagnostic::warning(
                Code::AddressExposed,
                "the public listener is open to other machines without TLS",
            )
            .at(at.span, "keys and prompts cross the network in clear text")
            .hint("set `tls` under `[gateway]`, unless something in front of tieline ends TLS"),
        );
    }
}

fn tls(raw: &RawGateway, world: World<'_>, sink: &mut Sink) -> Option<TlsFiles> {
    let at = raw.tls.as_ref()?;
    for key in ["cert", "key"]
        .into_iter()
        .filter(|key| !at.value.seen.contains(key))
    {
        sink.push(
            Diagnostic::error(Code::KeyMissing, format!("`tls` has no `{key}`"))
                .at(at.span, format!("wants `{key}`"))
                .hint("both are needed: `tls = { cert = \"chain.pem\", key = \"key.pem\" }`"),
        );
    }
    let cert = pem(at.value.cert.as_ref(), "CERTIFICATE", "certificate", world, sink);
    let key = pem(at.value.key.as_ref(), "PRIVATE KEY", "private key", world, sink);
    let client = client(&at.value, world, sink);
    Some(TlsFiles {
        cert: cert?,
        client,
        key: key?,
    })
}

/// Which certificates clients have; nobody is asked for one where no authority is named.
fn client(raw: &RawTls, world: World<'_>, sink: &mut Sink) -> Option<ClientAuth> {
    let Some(ca) = &raw.client_ca else {
        if let Some(at) = &raw.client_auth
            && !raw.seen.contains(&"client_ca")
        {
            sink.push(
                Diagnostic::error(Code::KeyMissing, "`client_auth` has no `client_ca`")
                    .at(at.span, "no certificate could be verified")
                    .hint("name the authorities that sign them: `client_ca = \"clients.pem\"`"),
            );
        }
        return None;
    };
    Some(ClientAuth {
        ca: pem(Some(ca), "CERTIFICATE", "certificate", world, sink)?,
        is_required: raw
            .client_auth
            .as_ref()
            .is_none_or(|at| at.value == RawClientAuth::Required),
    })
}

/// Networks of proxies.
fn trusted_proxies(raw: &RawGateway, sink: &mut Sink) -> Vec<IpNetwork> {
    let listed = raw
        .trusted_proxies
        .as_ref()
        .map_or(&[][..], |at| at.value.as_slice());
    if listed.len() > PROXIES_MAX
        && let Some(at) = &raw.trusted_proxies
    {
        sink.push(
            Diagnostic::error(
                Code::ProxyBad,
                format!("more than {PROXIES_MAX} networks are named"),
            )
            .at(at.span, "each is compared with the address of each call")
            .hint("name wider networks"),
        );
    }
    let mut networks = Vec::new();
    for at in listed {
        let why = match at.value.parse::<IpNetwork>() {
            Ok(network) if network.prefix() > 0 => {
                networks.push(network);
                continue;
            }
            Ok(_) => "everybody would be a proxy, and could claim any address",
            Err(_) => "wants an address or a network, such as `10.0.0.0/8`",
        };
        sink.push(
            Diagnostic::error(
                Code::ProxyBad,
                format!("`{}` is no network of proxies", shown(&at.value)),
            )
            .at(at.span, why),
        );
    }
    networks
}

/// A PEM file that holds at least one block of a kind.
pub(super) fn pem(
    at: Option<&At<String>>,
    block: &str,
    what: &str,
    world: World<'_>,
    sink: &mut Sink,
) -> Option<PathBuf> {
    let at = at?;
    let path = value::path(world.base, &at.value);
    match world.read(&path) {
        Ok(bytes) if holds(&bytes, block) => {}
        Ok(_) => sink.push(
            Diagnostic::error(Code::TlsBad, format!("`{}` holds no {what}", shown(&at.value)))
                .at(at.span, format!("wants PEM with a {what}")),
        ),
        Err(error) => sink.push(
            Diagnostic::error(
                Code::FileUnreadable,
                format!("`{}` cannot be read", shown(&at.value)),
            )
            .at(at.span, kind(&error))
            .hint("the path is relative to the folder of this file"),
        ),
    }
    Some(path)
}

/// Whether a PEM text (RFC 7468) has a block whose label ends in `label`, such as `EC PRIVATE KEY`.
pub(super) fn holds(bytes: &[u8], label: &str) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    text.lines().any(|line| {
        line.trim_end()
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.strip_suffix("-----"))
            .is_some_and(|found| found.ends_with(label))
    })
}

pub(super) fn log(raw: Option<&At<RawGateway>>) -> LogSettings {
    let log = raw.and_then(|at| at.value.log.as_ref()).map(|at| &at.value);
    let format = log.and_then(|log| log.format.as_ref());
    let level = log.and_then(|log| log.level.as_ref());
    LogSettings {
        is_json: format.is_some_and(|at| at.value == RawLogFormat::Json),
        level: match level.map(|at| at.value) {
            Some(RawLevel::Error) => "error",
            Some(RawLevel::Warn) => "warn",
            Some(RawLevel::Info) | None => "info",
            Some(RawLevel::Debug) => "debug",
            Some(RawLevel::Trace) => "trace",
        },
    }
}

pub(super) fn policy(raw: Option<&At<RawPolicy>>, world: World<'_>, sink: &mut Sink) -> PolicySettings {
    let empty = RawPolicy::default();
    let raw = raw.map_or(&empty, |at| &at.value);
    let listed = raw.packs.as_ref().map_or(&[][..], |at| at.value.as_slice());
    grid::listed_twice(listed, sink);
    let packs: Vec<PathBuf> = listed
        .iter()
        .map(|at| {
            let folder = value::path(world.base, &at.value);
            if let Err(error) = world.read(&folder.join("pack.toml")) {
                sink.push(
                    Diagnostic::error(
                        Code::PackUnknown,
                        format!("there is no pack at `{}`", shown(&at.value)),
                    )
                    .at(at.span, format!("`pack.toml`: {}", kind(&error)))
                    .hint("name the folder that holds `pack.toml`, relative to the folder of this file"),
                );
            }
            folder
        })
        .collect();
    let statuses = raw.enforce.as_ref().map_or(&[][..], |at| at.value.as_slice());
    let mut enforce: Vec<Status> = statuses.iter().map(|at| status(at.value)).collect();
    enforce.sort_unstable();
    enforce.dedup();
    if packs.is_empty()
        && let Some(at) = raw.enforce.as_ref().filter(|_| !raw.seen.contains(&"packs"))
    {
        sink.push(
            Diagnostic::warning(Code::SettingIdle, "`enforce` has nothing to enforce")
                .at(at.span, "no pack is named")
                .hint("name the folders of packs: `packs = [\"packs/company\"]`"),
        );
    }
    PolicySettings {
        end_uses: end_uses(raw, sink),
        enforce,
        orders: orders(raw.orders.as_ref(), sink),
        pack_signers: signers(raw.trusted_keys.as_ref(), raw.signatures_min.as_ref(), sink),
        packs,
        statement_keys: statement_keys(raw.statements.as_ref(), sink),
    }
}

/// Codes that a header can carry and a rule can compare with.
fn end_uses(raw: &RawPolicy, sink: &mut Sink) -> Vec<Arc<str>> {
    let listed = raw.end_uses.as_ref().map_or(&[][..], |at| at.value.as_slice());
    grid::listed_twice(listed, sink);
    let is_code = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_./".contains(&byte);
        (1..=64).contains(&text.len()) && text.bytes().all(fits)
    };
    let mut codes = Vec::new();
    for at in listed {
        if is_code(&at.value) {
            codes.push(Arc::from(at.value.as_str()));
        } else {
            sink.push(
                Diagnostic::error(
                    Code::EndUseBad,
                    format!("`{}` is no code of an end use", shown(&at.value)),
                )
                .at(at.span, "1 to 64 of a-z, 0-9, `-`, `_`, `.` and `/`")
                .hint("for example `citizen-services`"),
            );
        }
    }
    codes
}

/// Who may sign directives.
fn orders(raw: Option<&At<RawOrders>>, sink: &mut Sink) -> SignerSettings {
    let empty = RawOrders::default();
    let raw = raw.map_or(&empty, |at| &at.value);
    signers(raw.keys.as_ref(), raw.signatures_min.as_ref(), sink)
}

/// Keys that can be read, each once, and no more signatures than there are keys.
fn signers(keys: Option<&At<Vec<At<String>>>>, min: Option<&At<u64>>, sink: &mut Sink) -> SignerSettings {
    let listed = keys.map_or(&[][..], |at| at.value.as_slice());
    let keys = verifier_keys(listed, sink);
    let keys_max = u64::try_from(listed.len()).unwrap_or(u64::MAX).max(1);
    let min = value::number(min, "signatures_min", 1, 1, keys_max, sink);
    SignerSettings {
        keys,
        signatures_min: usize::try_from(min).unwrap_or(usize::MAX),
    }
}

fn statement_keys(raw: Option<&At<RawStatements>>, sink: &mut Sink) -> Vec<String> {
    let listed = raw.and_then(|at| at.value.keys.as_ref());
    verifier_keys(listed.map_or(&[][..], |at| at.value.as_slice()), sink)
}

/// Keys that can be read, each of a name and a key of its own.
fn verifier_keys(listed: &[At<String>], sink: &mut Sink) -> Vec<String> {
    let mut known: Vec<Verifier> = Vec::new();
    for at in listed {
        let problem = match Verifier::parse(&at.value) {
            Err(error) => Some(format!("this is no verifier key: {error}")),
            Ok(key) if known.iter().any(|other| other.name() == key.name()) => {
                Some(format!("the name `{}` was given to a key before", key.name()))
            }
            // One person with two names would be two signatures.
            Ok(key) if known.iter().any(|other| public_half(other) == public_half(&key)) => Some(format!(
                "`{}` is a key that was named before by another name",
                key.name()
            )),
            Ok(key) => {
                known.push(key);
                None
            }
        };
        if let Some(says) = problem {
            sink.push(Diagnostic::error(Code::SignerBad, says).at(at.span, "this key"));
        }
    }
    known.iter().map(Verifier::vkey).collect()
}

/// What is the same of one key under two names: the base64 at the end of its text.
fn public_half(key: &Verifier) -> Option<String> {
    key.vkey().splitn(3, '+').nth(2).map(str::to_owned)
}

const fn status(raw: RawStatus) -> Status {
    match raw {
        RawStatus::InForce => Status::InForce,
        RawStatus::CodifiedUnenforced => Status::CodifiedUnenforced,
        RawStatus::Suspended => Status::Suspended,
        RawStatus::Proposed => Status::Proposed,
        RawStatus::ProviderTerms => Status::ProviderTerms,
        RawStatus::Voluntary => Status::Voluntary,
        RawStatus::Company => Status::Company,
    }
}

pub(super) fn ledger(raw: Option<&At<RawLedger>>, sink: &mut Sink) -> LedgerSettings {
    let empty = RawLedger::default();
    let raw = raw.map_or(&empty, |at| &at.value);
    let queue = value::number(
        raw.queue_entries_max.as_ref(),
        "queue_entries_max",
        QUEUE_ENTRIES,
        256,
        1 << 20,
        sink,
    );
    LedgerSettings {
        on_full: match raw.on_full.as_ref().map(|at| at.value) {
            Some(RawOnFull::Gap) => OnFull::Gap,
            Some(RawOnFull::Refuse) | None => OnFull::Refuse,
        },
        origin: raw
            .origin
            .as_ref()
            .map_or_else(|| ORIGIN.to_owned(), |at| origin(at, sink)),
        queue_entries_max: usize::try_from(queue).unwrap_or(usize::MAX),
    }
}

/// The name of the log's key in signed notes: no spaces and no `+`.
fn origin(at: &At<String>, sink: &mut Sink) -> String {
    let text = at.value.as_str();
    let is_fit = !text.is_empty()
        && text.len() <= 255
        && !text.contains("://")
        && !text
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '+');
    if !is_fit {
        let hint = if text.contains("://") {
            "leave out the scheme"
        } else {
            "for example `example.org/tieline`"
        };
        sink.push(
            Diagnostic::error(
                Code::OriginBad,
                format!("`{}` cannot be the origin of a log", shown(text)),
            )
            .at(at.span, "wants a URL without scheme")
            .hint(hint),
        );
    }
    text.to_owned()
}
