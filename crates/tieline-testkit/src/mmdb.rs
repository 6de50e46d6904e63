//! A writer of small databases in MaxMind's format, for tests of those who read them: a tree of IPv6 (IPv4 under `::/96`)
//! with records of 24 bits, and one map for each country.
//!
//! Bounds: what it writes fits 24 bits, so a few thousand networks.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// Where in its records a database keeps the country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `{ "country": { "iso_code": "DE" } }`, as MaxMind does.
    Nested,
    /// `{ "country_code": "DE" }`, as ip-location-db does.
    Flat,
    /// `{ "autonomous_system_organization": "DE" }`: no country.
    Other,
}

/// A node of the tree: what follows a 0 and a 1.
type Node = [Branch; 2];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Branch {
    Empty,
    Leaf(usize),
    Node(usize),
}

/// A database of networks (`203.0.113.0/24`) with the code of the country of each. None if a network is none, or there are
/// too many.
pub fn database(layout: Layout, networks: &[(&str, &str)]) -> Option<Vec<u8>> {
    let mut nodes: Vec<Node> = vec![[Branch::Empty; 2]];
    let mut data = Vec::new();
    let mut offsets: BTreeMap<&str, usize> = BTreeMap::new();
    for (network, code) in networks {
        let offset = *offsets.entry(code).or_insert_with(|| {
            let offset = data.len();
            data.extend(record(layout, code));
            offset
        });
        insert(&mut nodes, network, offset)?;
    }
    let count = nodes.len();
    let mut out = Vec::new();
    for branch in nodes.iter().flatten() {
        let value = match branch {
            Branch::Empty => count,
            Branch::Leaf(offset) => count + 16 + offset,
            Branch::Node(ix) => *ix,
        };
        let value = u32::try_from(value).ok().filter(|value| *value < 1 << 24)?;
        out.extend(value.to_be_bytes().get(1..)?);
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    out.extend(metadata(layout, u32::try_from(count).ok()?));
    Some(out)
}

fn insert(nodes: &mut Vec<Node>, network: &str, offset: usize) -> Option<()> {
    let (address, length) = network.split_once('/')?;
    let length: usize = length.parse().ok()?;
    let (bits, length) = match address.parse().ok()? {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), length + 96),
        IpAddr::V6(v6) => (Ipv6Addr::to_bits(v6), length),
    };
    let mut at = 0;
    for depth in 0..length {
        let side = usize::from((bits >> 127_usize.checked_sub(depth)?) & 1 == 1);
        let fresh = nodes.len();
        let branch = nodes.get_mut(at)?.get_mut(side)?;
        if depth + 1 == length {
            *branch = Branch::Leaf(offset);
            return Some(());
        }
        match *branch {
            Branch::Node(ix) => at = ix,
            Branch::Empty | Branch::Leaf(_) => {
                let below = *branch;
                *branch = Branch::Node(fresh);
                nodes.push([below; 2]);
                at = fresh;
            }
        }
    }
    None
}

fn record(layout: Layout, code: &str) -> Vec<u8> {
    match layout {
        Layout::Nested => map(&[("country", map(&[("iso_code", text(code))]))]),
        Layout::Flat => map(&[("country_code", text(code))]),
        Layout::Other => map(&[("autonomous_system_organization", text(code))]),
    }
}

fn metadata(layout: Layout, nodes: u32) -> Vec<u8> {
    // The free databases of ip-location-db describe themselves in no language.
    let description = match layout {
        Layout::Flat => map(&[]),
        Layout::Nested | Layout::Other => map(&[("en", text("Countries of a test"))]),
    };
    map(&[
        ("binary_format_major_version", number(5, 2)),
        ("binary_format_minor_version", number(5, 0)),
        // 2026-01-01.
        ("build_epoch", number(9, 1_767_225_600)),
        ("database_type", text("Test-Country")),
        ("description", description),
        ("ip_version", number(5, 6)),
        ("languages", vec![0, 4]),
        ("node_count", number(6, nodes)),
        ("record_size", number(5, 24)),
    ])
}

fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![7 << 5 | u8::try_from(entries.len()).unwrap_or(0)];
    for (key, value) in entries {
        out.extend(text(key));
        out.extend(value);
    }
    out
}

/// At most 284 bytes.
fn text(text: &str) -> Vec<u8> {
    let mut out = match u8::try_from(text.len()) {
        Ok(short) if short < 29 => vec![2 << 5 | short],
        _ => vec![(2 << 5) + 29, u8::try_from(text.len() - 29).unwrap_or(0)],
    };
    out.extend(text.as_bytes());
    out
}

/// A number of type 5 (16 bits), 6 (32 bits) or 9 (64 bits).
fn number(kind: u8, value: u32) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let skip = usize::min(value.leading_zeros() as usize / 8, 4);
    let digits: Vec<u8> = bytes.into_iter().skip(skip).collect();
    let size = u8::try_from(digits.len()).unwrap_or(0);
    let mut out = if kind > 7 {
        vec![size, kind - 7]
    } else {
        vec![kind << 5 | size]
    };
    out.extend(digits);
    out
}
