//! Key sets at a URL: fetched beside the calls, at the start, every so often, and when a token names a key that the set
//! does not have.
//!
//! A set that was fetched stays in use until a later one replaces it, whatever fetches fail in between; it is kept in
//! memory alone, and over reloads. No call waits for a fetch: a token whose issuer has no set yet, or whose key is not in
//! it, is refused, and the next one may find it. Redirects are not followed.
//! Bounds: one fetch of a set at a time, of [`FETCH_MAX`] and [`SET_BYTES_MAX`]; [`RETRY_MIN`] to [`RETRY_MAX`] between
//! those that fail; [`WANTED_PAUSE`] between those that tokens bring about.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tieline_note::{Digest, sha256};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::key_set::{KeySet, SET_BYTES_MAX};
use crate::metrics::{FetchLabels, Metrics};
use crate::shared::Shared;
use crate::tls;

/// Between two fetches, in seconds, unless the operator says otherwise, and at least.
pub const REFRESH_S: u64 = 3_600;
pub const REFRESH_S_MIN: u64 = 60;

/// A whole fetch, connecting included.
const FETCH_MAX: Duration = Duration::from_secs(10);

/// After a fetch that failed; doubled from one to the next. A set that is missing at the start is so for seconds at best.
const RETRY_MIN: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_mins(1);

/// Between two fetches that tokens with unknown keys bring about: whoever has a key of this gateway can write such tokens.
const WANTED_PAUSE: Duration = Duration::from_mins(1);

/// How long nothing is looked at where nothing is to be fetched; a reload ends the wait.
const IDLE: Duration = Duration::from_hours(24);

/// Where a key set is, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUrl {
    /// A certificate authority (PEM) to trust instead of the public ones.
    pub ca: Option<PathBuf>,
    pub refresh_s: u64,
    pub url: String,
}

/// A key set at a URL, and what was fetched of it.
pub(crate) struct Remote {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    /// Sets that replaced another.
    generation: AtomicU64,
    issuer: Arc<str>,
    pace: Mutex<Pace>,
    refresh: Duration,
    set: ArcSwapOption<KeySet>,
    uri: Uri,
}

/// When a set is fetched.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// When the last fetch began.
    began: Option<Instant>,
    /// Of the set in use.
    digest: Option<Digest>,
    /// In a row.
    failures: u32,
    is_running: bool,
    is_wanted: bool,
    /// When the last fetch began that a token had brought about.
    wanted: Option<Instant>,
}

/// A fetch under way; whatever becomes of it, another may begin then.
struct Running(Arc<Remote>);

impl KeyUrl {
    /// What is wrong with a URL of a key set, if anything is.
    pub fn check(url: &str) -> Result<(), &'static str> {
        uri(url).map(drop)
    }
}

/// An absolute URL that a key set may be fetched from.
fn uri(url: &str) -> Result<Uri, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is no URL")?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("is no whole URL");
    };
    if url.contains('#') {
        return Err("has a fragment, which is never sent");
    }
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err("wants a host alone, without credentials");
    }
    let host = authority.host();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match scheme {
        "https" => Ok(uri),
        "http" if is_here => Ok(uri),
        _ => Err("wants `https://`: whoever can change the keys on their way can write every token"),
    }
}

// === impl Remote ===

impl Remote {
    pub(super) fn new(settings: &KeyUrl, issuer: Arc<str>) -> Result<Self, String> {
        let uri = uri(&settings.url).map_err(|why| format!("its URL {why}"))?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(settings.ca.as_deref())?)
            .https_or_http()
            .enable_http1();
        Ok(Self {
            client: Client::builder(TokioExecutor::new())
                // The next fetch is an hour away.
                .pool_max_idle_per_host(0)
                .build(https.wrap_connector(http)),
            generation: AtomicU64::new(0),
            issuer,
            pace: Mutex::default(),
            refresh: Duration::from_secs(settings.refresh_s.max(REFRESH_S_MIN)),
            set: ArcSwapOption::empty(),
            uri,
        })
    }

    /// Goes up whenever a set replaces another.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The set in use; none before a fetch succeeded.
    pub(super) fn set(&self) -> Option<Arc<KeySet>> {
        self.set.load_full()
    }

    /// Have it fetched, as soon as one more fetch may be.
    pub(super) fn want(&self) {
        self.pace().is_wanted = true;
    }

    /// Go on from what an earlier configuration had of the same set.
    pub(super) fn carry(&self, before: &Self) {
        if self.issuer != before.issuer || self.uri != before.uri {
            return;
        }
        let pace = *before.pace();
        self.set.store(before.set());
        *self.pace() = Pace {
            // What is under way goes to the earlier configuration.
            began: pace.began.filter(|_| !pace.is_running),
            is_running: false,
            ..pace
        };
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Take what a fetch brought.
    fn take(&self, bytes: &[u8]) -> Result<(), String> {
        let set = KeySet::parse(bytes)?;
        let digest = Some(sha256(bytes));
        let mut pace = self.pace();
        if pace.digest != digest {
            self.set.store(Some(Arc::new(set)));
            self.generation.fetch_add(1, Ordering::Release);
        }
        pace.digest = digest;
        pace.failures = 0;
        Ok(())
    }

    async fn fetch(&self) -> Result<(), String> {
        match tokio::time::timeout(FETCH_MAX, self.get()).await {
            Ok(bytes) => self.take(&bytes?),
            Err(_) => Err(format!("it did not come within {} s", FETCH_MAX.as_secs())),
        }
    }

    async fn get(&self) -> Result<Bytes, String> {
        let request = Request::get(self.uri.clone())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(header::USER_AGENT, "tieline")
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let response = self.client.request(request).await;
        let response = response.map_err(|error| format!("it cannot be reached: {}", causes(&error)))?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => {
                return Err(format!("it answered {status}, and redirects are not followed"));
            }
            status => return Err(format!("it answered {status}")),
        }
        let body = Limited::new(response.into_body(), SET_BYTES_MAX).collect().await;
        let whole = body.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                format!("it is larger than {SET_BYTES_MAX} bytes")
            } else {
                format!("it broke off: {error}")
            }
        });
        Ok(whole?.to_bytes())
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote")
            .field("issuer", &self.issuer)
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

/// An error and what caused it, for what fails below TLS says so only there.
fn causes(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    let all: Vec<String> = all.map(ToString::to_string).collect();
    all.join(": ")
}

// === impl Pace ===

impl Pace {
    /// When the next fetch may begin; none while one is under way.
    fn due(&self, now: Instant, refresh: Duration) -> Option<Instant> {
        if self.is_running {
            return None;
        }
        let Some(began) = self.began else { return Some(now) };
        let pause = match self.failures {
            0 => refresh,
            failures => RETRY_MIN
                .saturating_mul(1 << (failures - 1).min(8))
                .min(RETRY_MAX),
        };
        let by_date = began + pause;
        let wanted = (self.wanted).map_or(now, |wanted| wanted + WANTED_PAUSE);
        Some(if self.is_wanted {
            by_date.min(wanted)
        } else {
            by_date
        })
    }

    /// Begin one, if it is due.
    fn begin(&mut self, now: Instant, refresh: Duration) -> bool {
        if self.due(now, refresh).is_none_or(|due| due > now) {
            return false;
        }
        if std::mem::take(&mut self.is_wanted) {
            self.wanted = Some(now);
        }
        self.began = Some(now);
        self.is_running = true;
        true
    }
}

// === the task ===

/// Keep the key sets of the configuration in force fresh until the stop.
pub(crate) async fn keep(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut running = JoinSet::new();
    loop {
        let now = Instant::now();
        let mut next = now + IDLE;
        let live = shared.live.load_full();
        for remote in live.identity.iter().flat_map(super::Identity::remotes) {
            if remote.pace().begin(now, remote.refresh) {
                running.spawn(run(shared.clone(), Running(remote.clone())));
            }
            next = (remote.pace().due(now, remote.refresh)).map_or(next, |due| due.min(next));
        }
        drop(live);
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = shared.fetches.notified() => {}
            () = tokio::time::sleep_until(next) => {}
            Some(_) = running.join_next() => {}
        }
    }
}

async fn run(shared: Arc<Shared>, running: Running) {
    let remote = &running.0;
    let result = remote.fetch().await;
    count(&shared.metrics, remote, result.is_ok());
    if let Err(why) = result {
        let mut pace = remote.pace();
        pace.failures = pace.failures.saturating_add(1);
        let is_kept = pace.digest.is_some();
        drop(pace);
        let then = if is_kept {
            "the earlier one stays in use"
        } else {
            "tokens of the issuer are refused until it is there"
        };
        tracing::warn!(issuer = &*remote.issuer, url = %remote.uri, %why, "the key set was not fetched; {then}");
    }
}

fn count(metrics: &Metrics, remote: &Remote, is_fetched: bool) {
    let labels = FetchLabels {
        issuer: remote.issuer.to_string(),
        result: if is_fetched { "fetched" } else { "failed" },
    };
    metrics.key_set_fetches.get_or_create(&labels).inc();
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.pace().is_running = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_set_is_fetched_at_its_pace_and_sooner_where_it_fails() {
        let (start, refresh) = (Instant::now(), 3_600 * S);
        let mut pace = Pace::default();
        assert!(pace.begin(start, refresh));
        assert!(!pace.begin(start + 9_999 * S, refresh), "one at a time");
        pace.is_running = false;
        for (failures, pause_s) in [
            (0, 3_600),
            (1, 5),
            (2, 10),
            (3, 20),
            (4, 40),
            (5, 60),
            (6, 60),
            (u32::MAX, 60),
        ] {
            pace.failures = failures;
            assert_eq!(pace.due(start, refresh), Some(start + pause_s * S), "{failures}");
        }
    }

    #[test]
    fn tokens_bring_about_one_fetch_a_minute() {
        let (start, refresh) = (Instant::now(), 3_600 * S);
        let mut pace = Pace::default();
        let mut begun = Vec::new();
        for second in 0..200 {
            if pace.begin(start + second * S, refresh) {
                begun.push(second);
                pace.is_running = false;
            }
            pace.is_wanted = true;
        }
        assert_eq!(begun, [0, 1, 61, 121, 181]);
    }

    #[test]
    fn a_url_is_whole_and_its_keys_cannot_be_changed_on_the_way() {
        let check = |url: &str, says: &str| {
            let found = KeyUrl::check(url).err().unwrap_or_default();
            assert!(
                found.contains(says) && found.is_empty() == says.is_empty(),
                "{url}: {found}"
            );
        };
        check("https://login.example.org/keys?p=policy", "");
        check("https://login.example.org:8443/keys", "");
        check("http://127.0.0.1:8080/keys", "");
        check("http://[::1]/keys", "");
        check("http://localhost/keys", "");
        check("http://login.example.org/keys", "https://");
        check("ftp://login.example.org/keys", "https://");
        check("https://me:pw@login.example.org/keys", "credentials");
        check("https://login.example.org/keys#a", "fragment");
        check("/keys", "no whole URL");
        check("https://", "no URL");
        check("http://localhost.example.org/keys", "https://");
    }
}
