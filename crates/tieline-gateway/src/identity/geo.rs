//! Where a call comes from, as weak evidence: the country that a MaxMind-format database has for the caller's address.
//!
//! The address is the connection's. Where that is a proxy which the operator trusts, it is the right-most one in
//! `x-forwarded-for` that is no such proxy: what stands left of it is whatever the caller wrote. From anybody else the
//! header is ignored. The address is looked up and dropped; only the country goes on. An address that is private, or that
//! the database has no country for, or a header that cannot be read, asserts nothing.
//! Bounds: [`DATABASE_BYTES_MAX`], [`HOPS_MAX`].

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use ipnetwork::IpNetwork;
use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, WithinOptions};
use tieline_core::Tick;
use tieline_note::{Digest, sha256};
use tieline_policy::{Country, Evidence, EvidenceKind, FactValue};

/// Bytes of a database, which is kept in memory: countries take some 10 MB, the largest databases of cities 130 MB.
pub const DATABASE_BYTES_MAX: u64 = 256 << 20;

/// The header of proxies: what nginx, HAProxy, Envoy and the load balancers of the clouds write. `forwarded` (RFC 7239) is
/// written by few, and two headers would be two answers.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Addresses that are read from the right: chains of proxies of one's own are shorter by far.
const HOPS_MAX: usize = 32;

/// Bytes of a database's own name that are kept.
const NAME_BYTES_MAX: usize = 64;

/// Where databases keep the code of the country: MaxMind and those that follow it, ip-location-db, others.
const PATHS: [&[PathElement<'static>]; 3] = [
    &[PathElement::Key("country"), PathElement::Key("iso_code")],
    &[PathElement::Key("country_code")],
    &[PathElement::Key("country")],
];

/// How calls are placed.
#[derive(Clone, Debug)]
pub struct GeoSettings {
    pub database: GeoDatabase,
    /// Whose `x-forwarded-for` is believed.
    pub proxies: Vec<IpNetwork>,
}

/// A database of the countries of addresses, checked whole.
#[derive(Clone)]
pub struct GeoDatabase {
    digest: Digest,
    issuer: Arc<str>,
    reader: Arc<Reader<Vec<u8>>>,
}

impl GeoDatabase {
    /// The error reads after the name of the file.
    pub fn open(bytes: Vec<u8>) -> Result<Self, String> {
        if bytes.len() as u64 > DATABASE_BYTES_MAX {
            return Err(format!("is larger than {} MiB", DATABASE_BYTES_MAX >> 20));
        }
        let digest = sha256(&bytes);
        let none = |error| format!("is no whole MaxMind-format database: {error}");
        let reader = Reader::from_source(bytes).map_err(none)?;
        if !has_countries(&reader).map_err(none)? {
            return Err(format!(
                "is a database without countries (`{}`)",
                name_of(&reader)
            ));
        }
        Ok(Self {
            digest,
            issuer: format!("geoip:{}", name_of(&reader)).into(),
            reader: Arc::new(reader),
        })
    }

    /// When it was built, as it says itself.
    pub fn built(&self) -> Tick {
        Tick(self.reader.metadata().build_epoch.saturating_mul(1_000_000))
    }

    fn country(&self, address: IpAddr) -> Option<Country> {
        if !is_public(address) {
            return None;
        }
        country_of(&self.reader.lookup(address).ok()?)
    }
}

impl std::fmt::Debug for GeoDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GeoDatabase")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl GeoSettings {
    /// Where a call comes from; none if that is not known.
    pub(super) fn country(&self, peer: IpAddr, headers: &HeaderMap) -> Option<Country> {
        self.database.country(self.address(peer, headers)?)
    }

    /// The same evidence for every call from a country, whatever its address: it speaks as of the database's own date.
    pub(super) fn evidence(&self, country: Country) -> Evidence {
        Evidence {
            digest: Some(self.database.digest),
            expires: None,
            issuer: self.database.issuer.clone(),
            kind: EvidenceKind::GeoIp,
            obtained: self.database.built(),
            value: FactValue::Jurisdiction(country),
        }
    }

    fn address(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        if !self.is_proxy(peer) {
            return Some(peer);
        }
        let lines = headers.get_all(FORWARDED_FOR).into_iter().rev();
        let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        // A hop that cannot be read is where knowledge ends: nothing left of it was vouched for.
        hops.take(HOPS_MAX)
            .map(hop)
            .find(|address| address.is_none_or(|address| !self.is_proxy(address)))
            .flatten()
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(address))
    }
}

/// An address as proxies write it: alone, or with a port.
fn hop(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>().ok();
    let with_port = || Some(text.parse::<std::net::SocketAddr>().ok()?.ip());
    Some(address.or_else(with_port)?.to_canonical())
}

/// Whether an address can be somewhere: those of networks of one's own (RFC 1918, RFC 4193, RFC 6598) are everywhere.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let is_shared = matches!(v4.octets(), [100, 64..=127, ..]);
            !(is_shared
                || v4.is_broadcast()
                || v4.is_link_local()
                || v4.is_loopback()
                || v4.is_multicast()
                || v4.is_private()
                || v4.is_unspecified())
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || v6.is_unique_local()
                || v6.is_unspecified())
        }
    }
}

/// Whether a database places anything. All of its tree is walked, and every record read that a lookup could read, so that
/// what is broken shows here and not in a call. (The reader's own check wants descriptions, which free databases lack.)
fn has_countries(reader: &Reader<Vec<u8>>) -> Result<bool, MaxMindDbError> {
    // A tree of n nodes has n + 1 leaves; three times as many allow for IPv4 in several places (mapped, 6to4). One that
    // leads to more leads in circles.
    let leaves_max = (reader.metadata().node_count as usize + 1).saturating_mul(3);
    let options = WithinOptions::default().include_networks_without_data();
    let mut seen = BTreeSet::new();
    let mut has_any = false;
    for (found, count) in reader.networks(options)?.zip(1..) {
        let found = found?;
        if count > leaves_max {
            return Err(MaxMindDbError::invalid_database("its tree leads in circles"));
        }
        if found.offset().is_some_and(|offset| seen.insert(offset)) {
            has_any |= country_of(&found).is_some();
        }
    }
    Ok(has_any)
}

fn country_of(found: &LookupResult<'_, Vec<u8>>) -> Option<Country> {
    let code = |path: &&[PathElement<'static>]| found.decode_path::<&str>(path).ok().flatten();
    Country::parse(PATHS.iter().find_map(code)?).ok()
}

/// What a database calls itself, as far as a record takes it.
fn name_of(reader: &Reader<Vec<u8>>) -> String {
    let name = reader.metadata().database_type.chars();
    name.filter(|c| c.is_ascii_graphic() || *c == ' ')
        .take(NAME_BYTES_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_is_an_address_with_or_without_a_port() {
        let check = |text: &str, expected: Option<&str>| {
            let expected = expected.map(|text| text.parse::<IpAddr>().unwrap());
            assert_eq!(hop(text.as_bytes()), expected, "{text}");
        };
        check(" 203.0.113.7 ", Some("203.0.113.7"));
        check("203.0.113.7:443", Some("203.0.113.7"));
        check("2001:db8::1", Some("2001:db8::1"));
        check("[2001:db8::1]", Some("2001:db8::1"));
        check("[2001:db8::1]:443", Some("2001:db8::1"));
        check("::ffff:203.0.113.7", Some("203.0.113.7"));
        for bad in [
            "",
            "unknown",
            "_hidden",
            "203.0.113",
            "203.0.113.7, 1.1.1.1",
            "[::1",
            "\u{e9}",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn addresses_of_networks_of_ones_own_are_nowhere() {
        for text in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fd00::1",
            "fe80::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["100.128.0.1", "203.0.113.7", "2001:db8::1"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
