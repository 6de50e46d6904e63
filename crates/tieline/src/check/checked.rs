//! What the program uses: checked values without places. Paths are absolute or relative to the working folder, defaults
//! are filled in, every reference holds, and the grid always builds a `Snapshot`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tieline_core::{Dialect, GridRecord};
use tieline_drill::Bars;
use tieline_gateway::{CertificateRule, ClaimFact, IpNetwork, KeyUrl};
use tieline_policy::Status;

/// A configuration that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) bars: BarSettings,
    /// What clients' certificates assert.
    pub(crate) certificates: Vec<CertificateRule>,
    /// One wiring for each channel of the grid, in the same order.
    pub(crate) channels: Vec<ChannelWiring>,
    pub(crate) gateway: GatewaySettings,
    pub(crate) geoip: Option<GeoipSettings>,
    pub(crate) grid: Arc<GridRecord>,
    pub(crate) identity: Vec<IssuerSettings>,
    pub(crate) ledger: LedgerSettings,
    pub(crate) log: LogSettings,
    pub(crate) policy: PolicySettings,
    /// Assumed relative shares of calls, by channel, for analyses without traffic. No decision depends on them.
    pub(crate) weights: BTreeMap<Arc<str>, u32>,
}

/// What the loss of elements may do at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BarSettings {
    /// Of any one.
    pub(crate) n_1: Bars,
    /// Of any two.
    pub(crate) n_2: Bars,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GatewaySettings {
    pub(crate) admin: SocketAddr,
    /// Whether the admin listener speaks TLS too: it does where `tls` is set, unless it is on loopback.
    pub(crate) admin_is_tls: bool,
    pub(crate) body_bytes_max: usize,
    pub(crate) body_ms: u64,
    pub(crate) calls_max: usize,
    pub(crate) connections_max: usize,
    pub(crate) drain_ms: u64,
    pub(crate) header_bytes_max: usize,
    pub(crate) header_ms: u64,
    pub(crate) listen: SocketAddr,
    /// Worker threads; 0 is one for each core.
    pub(crate) threads: usize,
    pub(crate) tls: Option<TlsFiles>,
    /// Whose `x-forwarded-for` is believed.
    pub(crate) trusted_proxies: Vec<IpNetwork>,
}

/// Where calls come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GeoipSettings {
    pub(crate) database: PathBuf,
    /// From this age on the log warns.
    pub(crate) max_age_days: Option<u64>,
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) client: Option<ClientAuth>,
    pub(crate) key: PathBuf,
}

/// What certificates clients have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientAuth {
    pub(crate) ca: PathBuf,
    pub(crate) is_required: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogSettings {
    pub(crate) is_json: bool,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub(crate) level: &'static str,
}

/// How to reach a channel: what decisions do not depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChannelWiring {
    /// A certificate authority (PEM) to trust instead of the public ones.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) connections_max: usize,
    pub(crate) credential: CredentialSource,
    pub(crate) dialect: Dialect,
    pub(crate) endpoint: Endpoint,
    /// Whether calls can be carried over it. Otherwise it counts in analyses alone, and the gateway takes it as out.
    pub(crate) is_carried: bool,
    pub(crate) name: Arc<str>,
    /// One of [`super::provider::names`], as in the grid's record; the name of a `tieline_wire::Provider` if it is carried.
    pub(crate) provider: &'static str,
}

/// Where a channel listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Path before the dialect's own: empty, or with a slash at the start and none at the end. It may end as the
    /// dialect's path begins (`/v1`); `tieline_wire::url_path` writes that once.
    pub(crate) base: String,
    /// A name or an IP address, that of version 6 in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

/// Where a credential is found. It is read when the channel is built, not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CredentialSource {
    /// The output of `sh -c`, without spaces and line breaks around it.
    Command(String),
    /// The value of an environment variable.
    Env(String),
    /// The content of a file, without spaces and line breaks around it.
    File(PathBuf),
    /// The channel wants none.
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicySettings {
    /// Codes that calls may say they are for.
    pub(crate) end_uses: Vec<Arc<str>>,
    /// Statuses whose rules enforce.
    pub(crate) enforce: Vec<Status>,
    pub(crate) orders: SignerSettings,
    /// Who must have signed packs; with no key, nobody.
    pub(crate) pack_signers: SignerSettings,
    /// Folders, each with a `pack.toml`.
    pub(crate) packs: Vec<PathBuf>,
    /// Verifier keys whose signatures make a statement, each with a name and key of its own.
    pub(crate) statement_keys: Vec<String>,
}

/// An issuer whose tokens about end users are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuerSettings {
    pub(crate) audience: String,
    /// Each fact once.
    pub(crate) claims: Vec<ClaimSettings>,
    pub(crate) header: String,
    /// Its own alone.
    pub(crate) issuer: String,
    pub(crate) jwks: KeySource,
    pub(crate) proofed: bool,
}

/// Where a JSON Web Key Set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    File(PathBuf),
    Url(KeyUrl),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimSettings {
    pub(crate) claim: String,
    pub(crate) fact: ClaimFact,
    pub(crate) map: BTreeMap<String, Vec<String>>,
}

/// Who may sign, and how many of them must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignerSettings {
    /// Verifier keys (C2SP signed-note), each with a name and key of its own.
    pub(crate) keys: Vec<String>,
    /// Different keys that must have signed.
    pub(crate) signatures_min: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LedgerSettings {
    pub(crate) on_full: OnFull,
    /// The log's name: a schema-less URL (C2SP tlog-checkpoint).
    pub(crate) origin: String,
    pub(crate) queue_entries_max: usize,
}

/// What happens to a call when its decision cannot be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFull {
    /// It is served, and a gap entry says how many entries are missing.
    Gap,
    /// It is refused with 503.
    Refuse,
}

// === impl Endpoint ===

impl Endpoint {
    /// `host`, or `host:port` where the port is not the scheme's own: what the Host header says (RFC 9110, 7.2).
    pub(crate) fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether the host is this machine, by its address or as `localhost`.
    pub(crate) fn is_loopback(&self) -> bool {
        let address = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host.eq_ignore_ascii_case("localhost")
            || address
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }
}
