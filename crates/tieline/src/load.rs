//! From a checked configuration to what the gateway is told: packs are read, credentials fetched. Both happen at every
//! reload, so a rotated credential needs no restart.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tieline_gateway::{
    ChannelWiring, ClaimRule, ClientAuth, DATABASE_BYTES_MAX, Endpoint, GatewaySettings, GeoDatabase,
    GeoSettings, Identity, IdentitySettings, IssuerSettings, KeySource, LedgerSettings, Loaded, OnFull,
    Secret, TlsFiles,
};
use tieline_note::Verifier;
use tieline_policy::{PACK_SIGNATURES, Pack, PackProblem, Signers, Source};
use tieline_wire::Provider;

use crate::check::{self, Checked, checked};
use crate::folder;
use crate::output::{self, Failure};

/// Read, check and resolve a configuration file. The error is the whole report.
pub(crate) fn load(config: &Path) -> Result<Loaded, String> {
    let checked = check::load(config).map_err(|report| report.render(output::look()))?;
    // An editor that empties a file before it writes it must not take all service away.
    if checked.channels.is_empty() {
        return Err(format!(
            "{} names no channel, so nothing could be served; add one under [channels.NAME]",
            config.display()
        ));
    }
    resolve(&checked)
}

/// Only the checked configuration, for commands that serve nothing.
pub(crate) fn checked(config: &Path) -> output::Result<Checked> {
    check::load(config).map_err(|report| Failure::report(report.render(output::look())))
}

/// What a configuration says, word by word.
pub(crate) fn text(config: &Path) -> output::Result<String> {
    check::text(config).map_err(|report| Failure::report(report.render(output::look())))
}

/// As [`checked`], of the state folder's own configuration.
pub(crate) fn checked_in(dir: &Path) -> output::Result<Checked> {
    let config = folder::config(dir);
    if !config.exists() {
        return Err(
            Failure::input(format!("there is no configuration in {}", dir.display()))
                .with_hint("give the state folder with --dir, or start one with `tieline up`"),
        );
    }
    checked(&config)
}

fn resolve(checked: &Checked) -> Result<Loaded, String> {
    let trusted = pack_signers(checked)?;
    let packs = checked
        .policy
        .packs
        .iter()
        .map(|folder| trusted_pack(folder, trusted.as_ref()).map_err(|problems| problems.join("\n")))
        .collect::<Result<_, _>>()?;
    let channels = checked.channels.iter().map(wiring).collect();
    Ok(Loaded {
        channels,
        end_uses: checked.policy.end_uses.clone(),
        enforce: checked.policy.enforce.clone(),
        grid: checked.grid.clone(),
        identity: identity(checked)?,
        packs,
        settings: settings(checked),
        signers: signers(checked)?,
        statement_keys: statement_keys(checked)?,
    })
}

/// Whose evidence about single calls is believed; nobody's where none is configured.
fn identity(checked: &Checked) -> Result<Option<Identity>, String> {
    let settings = |issuer: &checked::IssuerSettings| {
        let jwks = match &issuer.jwks {
            checked::KeySource::Url(url) => KeySource::Url(url.clone()),
            checked::KeySource::File(path) => std::fs::read(path)
                .map(KeySource::Set)
                .map_err(|error| format!("cannot read the key set {}: {error}", path.display()))?,
        };
        let rule = |rule: &checked::ClaimSettings| ClaimRule {
            claim: rule.claim.clone(),
            fact: rule.fact,
            map: rule.map.clone(),
        };
        Ok(IssuerSettings {
            audience: issuer.audience.clone(),
            claims: issuer.claims.iter().map(rule).collect(),
            header: issuer.header.clone(),
            is_proofed: issuer.proofed,
            issuer: issuer.issuer.clone(),
            jwks,
        })
    };
    let issuers: Result<Vec<_>, String> = checked.identity.iter().map(settings).collect();
    Identity::new(IdentitySettings {
        certificates: checked.certificates.clone(),
        geo: checked
            .geoip
            .as_ref()
            .map(|settings| geo(checked, settings))
            .transpose()?,
        issuers: issuers?,
    })
}

/// The database of countries, with a warning about its age.
fn geo(checked: &Checked, settings: &checked::GeoipSettings) -> Result<GeoSettings, String> {
    let path = settings.database.display();
    let bytes = check::read_start(&settings.database, DATABASE_BYTES_MAX)
        .map_err(|error| format!("cannot read the database of countries {path}: {error}"))?;
    let database = GeoDatabase::open(bytes).map_err(|why| format!("{path} {why}"))?;
    let built_s = i64::try_from(database.built().0 / 1_000_000).unwrap_or(i64::MAX);
    let age_days = (jiff::Timestamp::now().as_second().saturating_sub(built_s) / 86_400)
        .max(0)
        .unsigned_abs();
    if settings.max_age_days.is_some_and(|most| age_days >= most) {
        tracing::warn!(%path, age_days, "the database of countries is old; replace the file with a newer one");
    }
    Ok(GeoSettings {
        database,
        proxies: checked.gateway.trusted_proxies.clone(),
    })
}

/// Who may sign directives; nobody where no key is named.
pub(crate) fn signers(checked: &Checked) -> Result<Option<Signers>, String> {
    signers_of(&checked.policy.orders)
}

/// Who must have signed packs; `None` where that is asked of nobody.
pub(crate) fn pack_signers(checked: &Checked) -> Result<Option<Signers>, String> {
    signers_of(&checked.policy.pack_signers)
}

fn signers_of(settings: &checked::SignerSettings) -> Result<Option<Signers>, String> {
    if settings.keys.is_empty() {
        return Ok(None);
    }
    let keys: Vec<Verifier> = settings
        .keys
        .iter()
        .map(|key| Verifier::parse(key).map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    Signers::new(keys, settings.signatures_min)
        .map(Some)
        .map_err(|error| error.to_string())
}

/// Whose signatures make a statement.
pub(crate) fn statement_keys(checked: &Checked) -> Result<Vec<Verifier>, String> {
    let keys = checked.policy.statement_keys.iter();
    keys.map(|key| Verifier::parse(key).map_err(|error| error.to_string()))
        .collect()
}

/// A pack from its folder: `pack.toml`, every `*.cedar`, `cases.toml`. The error is a line for each problem.
pub(crate) fn pack(folder: &Path) -> Result<Pack, Vec<String>> {
    let sources = pack_sources(folder).map_err(|error| vec![error])?;
    Pack::parse(&sources).map_err(|problems| {
        let line = |problem: &PackProblem| format!("{}/{problem}", folder.display());
        problems.iter().map(line).collect()
    })
}

/// A pack that may be taken into use: one that enough of the trusted keys signed, where keys are trusted.
pub(crate) fn trusted_pack(folder: &Path, trusted: Option<&Signers>) -> Result<Pack, Vec<String>> {
    let pack = pack(folder)?;
    if let Some(trusted) = trusted {
        signed_by(folder, &pack, trusted)
            .map_err(|problem| vec![format!("{}/{problem}", folder.display())])?;
    }
    Ok(pack)
}

/// Names of the trusted keys that signed a pack, by the signatures in its folder.
pub(crate) fn signed_by(folder: &Path, pack: &Pack, trusted: &Signers) -> Result<Vec<String>, PackProblem> {
    let note = match std::fs::read(folder.join(PACK_SIGNATURES)) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(PackProblem {
                file: Arc::from(PACK_SIGNATURES),
                line: 1,
                col: 1,
                says: format!("the signatures cannot be read: {}", check::kind(&error)),
                help: None,
            });
        }
    };
    pack.signed_by(note.as_deref(), trusted)
}

/// The files of a pack's folder.
pub(crate) fn pack_sources(folder: &Path) -> Result<Vec<Source>, String> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| {
        format!("cannot read the pack {}: {error}", path.display())
    };
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| failed(folder, &error))? {
        let path = entry.map_err(|error| failed(folder, &error))?.path();
        let is_source = path
            .extension()
            .is_some_and(|extension| extension == "toml" || extension == "cedar");
        let (true, Some(name)) = (is_source, path.file_name().and_then(|name| name.to_str())) else {
            continue;
        };
        let text = std::fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
        sources.push(Source {
            path: Arc::from(name),
            text: text.into(),
        });
    }
    Ok(sources)
}

fn wiring(channel: &checked::ChannelWiring) -> ChannelWiring {
    // A provider that cannot be carried yet keeps its place in the grid; the gateway holds the channel out.
    let provider = Provider::from_name(channel.provider).unwrap_or(Provider::OpenaiCompatible);
    ChannelWiring {
        ca: channel.ca.clone(),
        connections_max: channel.connections_max,
        dialect: channel.dialect,
        endpoint: Endpoint {
            authority: channel.endpoint.authority(),
            base: channel.endpoint.base.clone(),
            tls: channel.endpoint.tls,
        },
        is_carried: channel.is_carried,
        name: channel.name.clone(),
        provider,
        secret: secret(channel),
    }
}

/// A credential that is missing leaves its channel without one: that channel's calls will fail and fail over, the others
/// are served.
fn secret(channel: &checked::ChannelWiring) -> Option<Secret> {
    let text = match &channel.credential {
        checked::CredentialSource::None => None,
        checked::CredentialSource::Env(name) => std::env::var(name).ok(),
        checked::CredentialSource::File(path) => std::fs::read_to_string(path).ok(),
        checked::CredentialSource::Command(command) => output_of(&channel.name, command),
    };
    text.map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
        .map(Secret::new)
}

/// What a credential command prints. Its standard error is not shown, for it may hold what it was meant to keep.
fn output_of(channel: &str, command: &str) -> Option<String> {
    let output = std::process::Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).ok(),
        Ok(output) => {
            tracing::warn!(channel, status = %output.status, "the credential command failed; the channel has none");
            None
        }
        Err(error) => {
            tracing::warn!(channel, %error, "the credential command could not run; the channel has no credential");
            None
        }
    }
}

fn settings(checked: &Checked) -> GatewaySettings {
    let gateway = &checked.gateway;
    GatewaySettings {
        admin: gateway.admin,
        admin_is_tls: gateway.admin_is_tls,
        body_bytes_max: gateway.body_bytes_max,
        body_ms: gateway.body_ms,
        calls_max: gateway.calls_max,
        connections_max: gateway.connections_max,
        drain_ms: gateway.drain_ms,
        header_bytes_max: gateway.header_bytes_max,
        header_ms: gateway.header_ms,
        ledger: LedgerSettings {
            on_full: match checked.ledger.on_full {
                checked::OnFull::Gap => OnFull::Gap,
                checked::OnFull::Refuse => OnFull::Refuse,
            },
            origin: checked.ledger.origin.clone(),
            queue_entries_max: checked.ledger.queue_entries_max,
        },
        listen: gateway.listen,
        threads: gateway.threads,
        tls: gateway.tls.as_ref().map(|files| TlsFiles {
            cert: files.cert.clone(),
            client: files.client.as_ref().map(|client| ClientAuth {
                ca: client.ca.clone(),
                is_required: client.is_required,
            }),
            key: files.key.clone(),
        }),
    }
}
