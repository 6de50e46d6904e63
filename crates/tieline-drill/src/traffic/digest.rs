//! The digest of traffic: what a receipt cites. It is a function of the calls in their order with the names that they have,
//! not of the file that they came from, nor of the order in which names were met.
//!
//! It is SHA-256 over the line `tieline/traffic/v1` and then, for each call: the first 16 bytes of the digest of what it
//! shares with others (party with class, ask, dialect, rulings, as canonical JSON), those of the pair of channel and model
//! that answered, its numbers (little-endian), and its failed attempts.

use serde::Serialize;
use tieline_core::record::Outcome;
use tieline_core::{Bucket, Criticality, Dialect, Fault, Ruling};
use tieline_note::{Digest, Hasher, sha256};

use super::{Asked, Class, Failure, Kind, Traffic, TrafficCall};

/// The first line of what is hashed.
const TRAFFIC_V1: &[u8] = b"tieline/traffic/v1\n";

/// Two numbers of 8 bytes, nine of 4, two of 1.
const NUMBERS_BYTES: usize = 54;

/// Enough of a digest inside of a digest: 128 bits.
type Short = [u8; 16];

/// What calls share, by name.
#[derive(Serialize)]
struct KindNamed<'a> {
    class: Option<Class>,
    criticality: Option<Criticality>,
    dialect: Dialect,
    in_scope: bool,
    key_denied: Option<Bucket>,
    model: Option<&'a str>,
    party: &'a str,
    pool: Option<&'a str>,
    /// Channel, model, ruling; by name.
    rulings: Vec<(&'a str, &'a str, Ruling)>,
}

impl Traffic {
    /// What a receipt cites of this traffic.
    pub fn digest(&self) -> Digest {
        let kinds: Vec<Short> = self.kinds.iter().map(|kind| self.kind_digest(kind)).collect();
        let lanes: Vec<Short> = (0_u16..)
            .zip(&self.lanes)
            .map(|(lane, _)| self.lane_digest(lane))
            .collect();
        let mut hasher = Hasher::new();
        hasher.update(TRAFFIC_V1);
        for call in &self.calls {
            hasher.update(&short(kinds.get(call.kind as usize)));
            hasher.update(&short(lanes.get(usize::from(call.lane))));
            hasher.update(&numbers(call));
            let failures = self.failures.get(call.failures as usize);
            let failures = failures.map_or(&[][..], |failures| failures);
            hasher.update(&(failures.len() as u64).to_le_bytes());
            for failure in failures {
                self.failure(failure, &mut hasher);
            }
        }
        hasher.finish()
    }

    fn kind_digest(&self, kind: &Kind) -> Short {
        let party = kind.party as usize;
        let mut rulings: Vec<_> = kind
            .rulings
            .iter()
            .filter_map(|(lane, ruling)| {
                let (channel, model) = self.lanes.get(usize::from(*lane))?;
                Some((&**channel, &**model, *ruling))
            })
            .collect();
        rulings.sort_unstable();
        let (model, pool) = match &kind.ask {
            Asked::Model(name) => (Some(&**name), None),
            Asked::Nothing => (None, None),
            Asked::Pool(name) => (None, Some(&**name)),
        };
        canonical(&KindNamed {
            class: self.classes.get(party).copied().flatten(),
            criticality: kind.criticality,
            dialect: kind.dialect,
            in_scope: kind.in_scope,
            key_denied: kind.key_denied,
            model,
            party: self.parties.get(party).map_or("", |party| party),
            pool,
            rulings,
        })
    }

    fn lane_digest(&self, lane: u16) -> Short {
        let names = self.lanes.get(usize::from(lane));
        canonical(&names.map(|(channel, model)| (&**channel, &**model)))
    }

    fn failure(&self, failure: &Failure, hasher: &mut Hasher) {
        let Failure {
            after,
            fault,
            lane,
            ttft,
        } = failure;
        hasher.update(&self.lane_digest(*lane));
        hasher.update(&after.0.to_le_bytes());
        hasher.update(&ttft.map_or(u64::MAX, |ttft| ttft.0).to_le_bytes());
        hasher.update(&canonical::<Fault>(fault));
    }
}

/// A call's own numbers, every field of it.
fn numbers(call: &TrafficCall) -> [u8; NUMBERS_BYTES] {
    let TrafficCall {
        at,
        cost_nano,
        tokens,
        body_bytes,
        failures: _,
        kind: _,
        output_max,
        took_us,
        ttft_us,
        lane: _,
        flags,
        result,
    } = *call;
    let mut out = [0; NUMBERS_BYTES];
    let mut places = out.iter_mut();
    let mut write = |bytes: &[u8]| {
        for (byte, place) in bytes.iter().zip(places.by_ref()) {
            *place = *byte;
        }
    };
    write(&at.0.to_le_bytes());
    write(&cost_nano.to_le_bytes());
    for number in tokens
        .into_iter()
        .chain([body_bytes, output_max, took_us, ttft_us])
    {
        write(&number.to_le_bytes());
    }
    write(&[flags, code(result)]);
    out
}

const fn code(result: Outcome) -> u8 {
    match result {
        Outcome::Abandoned => 0,
        Outcome::Broken => 1,
        Outcome::Lost => 2,
        Outcome::Refused => 3,
        Outcome::Relayed => 4,
        Outcome::Served => 5,
    }
}

fn canonical<T: Serialize>(value: &T) -> Short {
    // None of these types fails to serialise. Fields stand in the order of their names.
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let digest = sha256(&bytes);
    let mut out = Short::default();
    for (place, byte) in out.iter_mut().zip(digest.as_bytes()) {
        *place = *byte;
    }
    out
}

fn short(digest: Option<&Short>) -> Short {
    digest.copied().unwrap_or_default()
}
