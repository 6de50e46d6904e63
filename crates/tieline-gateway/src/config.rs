//! What the gateway is told: checked values only. The binary reads files, checks them, and hands over a [`Load`] that
//! does so again at each reload.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tieline_core::{Dialect, GridRecord};
use tieline_note::Verifier;
use tieline_policy::{Pack, Signers, Status};
use tieline_wire::Provider;

use crate::identity::Identity;

/// Read and check the configuration. The error is the rendered report, for the log and the admin reply.
pub type Load = Box<dyn Fn() -> Result<Loaded, String> + Send + Sync>;

/// One checked configuration.
#[derive(Debug)]
pub struct Loaded {
    pub channels: Vec<ChannelWiring>,
    /// Codes that calls may say they are for.
    pub end_uses: Vec<Arc<str>>,
    pub enforce: Vec<Status>,
    pub grid: Arc<GridRecord>,
    /// Whose evidence about single calls is believed; nobody's where none is configured.
    pub identity: Option<Identity>,
    pub packs: Vec<Pack>,
    pub settings: GatewaySettings,
    /// Who may sign directives; nobody where none is configured.
    pub signers: Option<Signers>,
    /// Whose signatures make a statement.
    pub statement_keys: Vec<Verifier>,
}

/// How to reach a channel: what decisions do not depend on.
#[derive(Clone, Debug)]
pub struct ChannelWiring {
    /// A certificate authority (PEM) to trust instead of the public ones.
    pub ca: Option<PathBuf>,
    /// Idle connections kept for the next call.
    pub connections_max: usize,
    pub dialect: Dialect,
    pub endpoint: Endpoint,
    /// Whether calls can be carried over it; otherwise it counts in analyses alone and is always out.
    pub is_carried: bool,
    pub name: Arc<str>,
    pub provider: Provider,
    pub secret: Option<Secret>,
}

/// Where a channel listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `host` or `host:port`, as in the Host header.
    pub authority: String,
    /// Path before the dialect's own, without a slash at the end; often empty.
    pub base: String,
    pub tls: bool,
}

/// A credential. Its Debug form never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

#[derive(Clone, Debug)]
pub struct GatewaySettings {
    pub admin: SocketAddr,
    /// Whether `admin` speaks TLS too, with the certificate of `tls`. It asks nobody for one: its callers have keys.
    pub admin_is_tls: bool,
    /// Bytes of one request body.
    pub body_bytes_max: usize,
    /// To receive a request body, in ms.
    pub body_ms: u64,
    /// Calls in flight; more are refused with 503.
    pub calls_max: usize,
    /// Connections of the public listener; more wait in the kernel's queue.
    pub connections_max: usize,
    /// For calls in flight to end at shutdown, in ms.
    pub drain_ms: u64,
    /// Bytes of one request's head.
    pub header_bytes_max: usize,
    /// To receive a request's head, in ms; also how long an idle connection is kept.
    pub header_ms: u64,
    pub ledger: LedgerSettings,
    pub listen: SocketAddr,
    pub tls: Option<TlsFiles>,
    /// Worker threads; 0 is one per core.
    pub threads: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    /// Whose clients are asked for a certificate; nobody's where none is named.
    pub client: Option<ClientAuth>,
    pub key: PathBuf,
}

/// What certificates clients have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// The authorities (PEM) that sign them.
    pub ca: PathBuf,
    /// Whether a client without one is turned away.
    pub is_required: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerSettings {
    pub on_full: OnFull,
    /// The log's name: a schema-less URL (C2SP tlog-checkpoint).
    pub origin: String,
    /// Entries that may wait for the writer.
    pub queue_entries_max: usize,
}

/// What happens to a call when its decision cannot be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// It is served, and a gap entry says how many entries are missing.
    Gap,
    /// It is refused with 503.
    Refuse,
}

impl GatewaySettings {
    /// The settings of `next` that differ and that only a start reads: those of listeners, threads and the ledger.
    pub(crate) fn waiting_for_start(&self, next: &Self) -> Vec<&'static str> {
        let differ = [
            (
                "admin",
                (self.admin, self.admin_is_tls) != (next.admin, next.admin_is_tls),
            ),
            ("connections_max", self.connections_max != next.connections_max),
            ("header_bytes_max", self.header_bytes_max != next.header_bytes_max),
            ("header_ms", self.header_ms != next.header_ms),
            ("ledger", self.ledger != next.ledger),
            ("listen", self.listen != next.listen),
            ("threads", self.threads != next.threads),
            ("tls", self.tls != next.tls),
        ];
        differ
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(name, _)| name)
            .collect()
    }
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            admin: SocketAddr::from(([127, 0, 0, 1], 8081)),
            admin_is_tls: false,
            body_bytes_max: 32 << 20,
            body_ms: 30_000,
            calls_max: 10_000,
            connections_max: 10_000,
            drain_ms: 10_000,
            header_bytes_max: 64 << 10,
            header_ms: 30_000,
            ledger: LedgerSettings::default(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls: None,
            threads: 0,
        }
    }
}

impl Default for LedgerSettings {
    /// 65,536 entries of about 1 KB are 64 MiB, and a second of the writer's work.
    fn default() -> Self {
        Self {
            on_full: OnFull::Refuse,
            origin: "tieline.local/log".into(),
            queue_entries_max: 1 << 16,
        }
    }
}

impl Secret {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
