//! Receipts as the ledger holds them (`tieline/receipt/v1`): what a test of a pool or a drill came to, and the digests of
//! all that it came from, so that whoever has the same inputs can make it again and compare.
//!
//! Refuses, in [`Receipt::check`], what could not be a receipt: the API that takes them is open to whoever may write.
//! Nothing here holds a prompt, an answer, a path or a name of a person: cases stand by their names, files by their
//! digests. Bounds: [`CASES_MAX`], [`ARGUMENTS_MAX`] and [`NAME_BYTES_MAX`] keep an entry below 64 KiB.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::CallId;
use crate::record::Hex32;
use crate::time::Tick;

/// The type tag of version 1.
pub const RECEIPT_V1: &str = "tieline/receipt/v1";

/// Cases of one pool test: 256 names of 128 bytes are 33 KB, half of what an entry holds.
pub const CASES_MAX: usize = 256;

/// Bytes of a name: as long as names of the grid.
pub const NAME_BYTES_MAX: usize = 128;

/// Options of one drill, and packs, channels or judges of one receipt: 64 of each, at 128 bytes for key and value, are
/// 16 KB.
pub const ARGUMENTS_MAX: usize = 64;

/// A receipt's entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptEntry {
    /// When it was recorded, µs UTC.
    pub at: Tick,
    pub body: Receipt,
    pub id: CallId,
    /// Always [`RECEIPT_V1`].
    pub t: Arc<str>,
}

/// What a receipt is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Receipt {
    Drill(Box<DrillReceipt>),
    PoolTest(PoolTestReceipt),
}

/// A drill: the same inputs give the same result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillReceipt {
    /// The options that it was run with, by name; a file by the SHA-256 of its bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<Arc<str>, Arc<str>>,
    /// The id of the admin key that recorded it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Arc<str>>,
    /// The drill, such as `n-1`.
    pub command: Arc<str>,
    pub engine: EngineCited,
    /// SHA-256 of the canonical grid record that it ran on. A replay decides each call under the grid that the call cites,
    /// and has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grid: Option<Hex32>,
    /// What of the ledger there was to be read, if there was one: calls, receipts, what was fitted to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerCited>,
    /// The rules that it asked; absent where the traffic holds the rulings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyCited>,
    /// SHA-256 of the report's canonical JSON.
    pub result: Hex32,
    /// SHA-256 of the scenario, if it ran one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<Hex32>,
    /// A decimal string, for it may pass 2^53.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal")]
    pub seed: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TrafficCited>,
}

/// The code that ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineCited {
    /// SHA-256 over the source that decides and drills, and the versions of what it is built with.
    pub digest: Hex32,
    /// Of the program.
    pub version: Arc<str>,
}

/// The rules that were asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyCited {
    /// The record of the directives that were laid over, if any were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directives: Option<Hex32>,
    /// The record of packs and of which statuses enforce, under the number 0.
    pub epoch: Hex32,
    pub packs: Vec<Hex32>,
}

/// The first entries of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerCited {
    pub entries: u64,
    /// The Merkle root over them, which the log's checkpoints vouch for.
    pub root: Hex32,
}

/// The calls that were decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrafficCited {
    pub basis: TrafficBasis,
    /// Of a ledger: the root of what is cited of it. Of a trace or a law: of the calls that came of it. Of a structure: of
    /// who may ask for what, and what is open to them.
    pub digest: Hex32,
}

/// Where calls come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrafficBasis {
    Ledger,
    Structure,
    Trace,
}

/// Cases that a model of a pool met or did not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolTestReceipt {
    /// The id of the admin key that recorded it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Arc<str>>,
    /// SHA-256 of the canonical JSON of the cases.
    pub cases: Hex32,
    /// The channels that answered. The test asks for the model over any of them, and the receipt is for the model.
    pub channels: Vec<Arc<str>>,
    /// Names of the cases that it failed, in the order of the file.
    pub failed: Vec<Arc<str>>,
    /// SHA-256 of the canonical grid record in force.
    pub grid: Hex32,
    /// Models that judged answers, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judges: Vec<Arc<str>>,
    pub model: Arc<str>,
    pub passed: u32,
    pub pool: Arc<str>,
    /// Cases; every one was answered.
    pub total: u32,
}

// === impl Receipt ===

impl Receipt {
    /// What keeps it from being one, as a clause.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Drill(drill) => drill.check(),
            Self::PoolTest(test) => test.check(),
        }
    }

    /// The grid that it cites.
    pub const fn grid(&self) -> Option<Hex32> {
        match self {
            Self::Drill(drill) => drill.grid,
            Self::PoolTest(test) => Some(test.grid),
        }
    }

    /// Say who records it, in place of what it said.
    pub fn recorded_by(&mut self, admin: Option<Arc<str>>) {
        match self {
            Self::Drill(drill) => drill.by = admin,
            Self::PoolTest(test) => test.by = admin,
        }
    }
}

impl DrillReceipt {
    fn check(&self) -> Result<(), String> {
        name("command", &self.command)?;
        name("engine.version", &self.engine.version)?;
        few("arguments", self.arguments.len(), ARGUMENTS_MAX)?;
        for (option, value) in &self.arguments {
            name("arguments", option)?;
            name("arguments", value)?;
        }
        few(
            "policy.packs",
            self.policy.as_ref().map_or(0, |policy| policy.packs.len()),
            ARGUMENTS_MAX,
        )
    }
}

impl PoolTestReceipt {
    /// Whether the model met every case, of which there was one at least.
    pub const fn is_pass(&self) -> bool {
        self.failed.is_empty() && self.total > 0 && self.passed == self.total
    }

    fn check(&self) -> Result<(), String> {
        name("pool", &self.pool)?;
        name("model", &self.model)?;
        for (what, names, most) in [
            ("channels", &self.channels, ARGUMENTS_MAX),
            ("failed", &self.failed, CASES_MAX),
            ("judges", &self.judges, ARGUMENTS_MAX),
        ] {
            few(what, names.len(), most)?;
            names.iter().try_for_each(|text| name(what, text))?;
        }
        if self.total == 0 || self.total as usize > CASES_MAX {
            return Err(format!("`total` is 1 to {CASES_MAX}"));
        }
        if self.passed as usize + self.failed.len() != self.total as usize {
            return Err("`passed` and `failed` do not add up to `total`".to_owned());
        }
        Ok(())
    }
}

/// Names look like those of the grid: no prose, no path of a home folder, nothing that steers a terminal.
fn name(what: &str, text: &str) -> Result<(), String> {
    let is_fit = |b: u8| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b);
    if (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_fit) {
        return Ok(());
    }
    Err(format!(
        "`{what}` wants 1 to {NAME_BYTES_MAX} of the characters A-Z a-z 0-9 . _ : / @ -"
    ))
}

fn few(what: &str, count: usize, most: usize) -> Result<(), String> {
    if count <= most {
        return Ok(());
    }
    Err(format!("`{what}` has {count} items, more than {most}"))
}

/// A number that may pass 2^53, as a decimal string.
mod decimal {
    use std::borrow::Cow;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "the shape that serde's `with` asks for")]
    pub(super) fn serialize<S: Serializer>(value: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(number) => serializer.collect_str(number),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = is_plain.then(|| text.parse().ok()).flatten();
        number
            .map(Some)
            .ok_or_else(|| D::Error::custom("a decimal number of at most 64 bits is expected"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn digest(byte: u8) -> Hex32 {
        Hex32([byte; 32])
    }

    fn test() -> PoolTestReceipt {
        PoolTestReceipt {
            by: Some("a_1".into()),
            cases: digest(1),
            channels: vec!["east".into()],
            failed: vec!["sum".into()],
            grid: digest(2),
            judges: vec!["gpt-6".into()],
            model: "m1".into(),
            passed: 2,
            pool: "chat".into(),
            total: 3,
        }
    }

    fn drill() -> DrillReceipt {
        DrillReceipt {
            arguments: BTreeMap::from([("config".into(), digest(7).to_string().into())]),
            by: Some("a_1".into()),
            command: "n-1".into(),
            engine: EngineCited {
                digest: digest(1),
                version: "0.1.0".into(),
            },
            grid: Some(digest(2)),
            ledger: Some(LedgerCited {
                entries: 12,
                root: digest(9),
            }),
            policy: Some(PolicyCited {
                directives: Some(digest(8)),
                epoch: digest(3),
                packs: vec![digest(4)],
            }),
            result: digest(5),
            scenario: Some(digest(6)),
            seed: Some(u64::MAX),
            traffic: Some(TrafficCited {
                basis: TrafficBasis::Ledger,
                digest: digest(9),
            }),
        }
    }

    fn entry(body: Receipt) -> ReceiptEntry {
        ReceiptEntry {
            at: Tick(1),
            body,
            id: CallId::new(Tick(1), 1),
            t: RECEIPT_V1.into(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let bare = DrillReceipt {
            arguments: BTreeMap::new(),
            by: None,
            grid: None,
            ledger: None,
            policy: None,
            scenario: None,
            seed: None,
            traffic: None,
            ..drill()
        };
        let plain = PoolTestReceipt {
            by: None,
            judges: Vec::new(),
            ..test()
        };
        for body in [
            Receipt::Drill(Box::new(drill())),
            Receipt::Drill(Box::new(bare)),
            Receipt::PoolTest(test()),
            Receipt::PoolTest(plain),
        ] {
            assert_eq!(body.check(), Ok(()));
            let written = serde_json::to_string(&entry(body.clone())).unwrap();
            assert_eq!(
                serde_json::from_str::<ReceiptEntry>(&written).unwrap(),
                entry(body)
            );
        }
    }

    /// Every form that was ever written is read for ever: a line is added here, and none is changed.
    #[test]
    fn what_was_written_is_read() {
        let hex = |digit: &str| digit.repeat(64);
        let id = "00000000000000000000000001";
        for body in [
            format!(
                r#"{{"cases":"{0}","channels":["east"],"failed":[],"grid":"{0}","kind":"pool_test","model":"m1","passed":1,"pool":"chat","total":1}}"#,
                hex("a")
            ),
            format!(
                r#"{{"by":"a_1","cases":"{0}","channels":["east"],"failed":["sum"],"grid":"{0}","judges":["j"],"kind":"pool_test","model":"m1","passed":1,"pool":"chat","total":2}}"#,
                hex("a")
            ),
            format!(
                r#"{{"command":"replay","engine":{{"digest":"{0}","version":"0.1.0"}},"kind":"drill","result":"{0}"}}"#,
                hex("b")
            ),
            format!(
                r#"{{"arguments":{{"config":"{0}"}},"by":"a_1","command":"n-1","engine":{{"digest":"{0}","version":"0.1.0"}},"grid":"{0}","kind":"drill","ledger":{{"entries":12,"root":"{0}"}},"policy":{{"directives":"{0}","epoch":"{0}","packs":["{0}"]}},"result":"{0}","scenario":"{0}","seed":"18446744073709551615","traffic":{{"basis":"ledger","digest":"{0}"}}}}"#,
                hex("c")
            ),
        ] {
            let written = format!(r#"{{"at":1,"body":{body},"id":"{id}","t":"tieline/receipt/v1"}}"#);
            let read: ReceiptEntry = serde_json::from_str(&written).unwrap_or_else(|e| panic!("{e}: {body}"));
            assert_eq!(read.body.check(), Ok(()));
        }
    }

    #[test]
    fn what_is_no_receipt_is_refused() {
        let pool = |change: &dyn Fn(&mut PoolTestReceipt)| {
            let mut receipt = test();
            change(&mut receipt);
            Receipt::PoolTest(receipt)
        };
        let drilled = |change: &dyn Fn(&mut DrillReceipt)| {
            let mut receipt = drill();
            change(&mut receipt);
            Receipt::Drill(Box::new(receipt))
        };
        for (receipt, expected) in [
            (pool(&|r| r.total = 4), "do not add up"),
            (pool(&|r| r.passed = u32::MAX), "do not add up"),
            (
                pool(&|r| {
                    r.total = 0;
                    r.passed = 0;
                    r.failed.clear();
                }),
                "`total` is 1 to",
            ),
            (
                pool(&|r| r.failed = vec!["what did it say?".into()]),
                "`failed` wants",
            ),
            (pool(&|r| r.model = "".into()), "`model` wants"),
            (pool(&|r| r.pool = "a".repeat(129).into()), "`pool` wants"),
            (
                pool(&|r| r.channels = vec!["a".into(); 65]),
                "`channels` has 65 items",
            ),
            (drilled(&|r| r.command = "n 1".into()), "`command` wants"),
            (
                drilled(&|r| drop(r.arguments.insert("from".into(), "a b".into()))),
                "`arguments` wants",
            ),
        ] {
            let said = receipt.check().unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
        let unknown = r#"{"kind":"weather","result":"x"}"#;
        assert!(serde_json::from_str::<Receipt>(unknown).is_err());
        let mut value = serde_json::to_value(Receipt::PoolTest(test())).unwrap();
        value["answer"] = "Paris".into();
        assert!(
            serde_json::from_value::<Receipt>(value).is_err(),
            "an unknown field"
        );
        for seed in ["-1", "", "1e3", "18446744073709551616", "+1"] {
            let mut value = serde_json::to_value(Receipt::Drill(Box::new(drill()))).unwrap();
            value["seed"] = seed.into();
            assert!(serde_json::from_value::<Receipt>(value).is_err(), "{seed}");
        }
    }

    /// The bounds of the names keep the largest receipt within an entry of the ledger.
    #[test]
    fn the_largest_fits_an_entry() {
        let long: Arc<str> = "n".repeat(NAME_BYTES_MAX).into();
        let largest = PoolTestReceipt {
            channels: vec![long.clone(); ARGUMENTS_MAX],
            failed: vec![long.clone(); CASES_MAX],
            judges: vec![long.clone(); ARGUMENTS_MAX],
            model: long.clone(),
            passed: 0,
            pool: long.clone(),
            total: u32::try_from(CASES_MAX).unwrap(),
            ..test()
        };
        let key = |ix: usize| Arc::from(format!("{ix:0>128}"));
        let widest = DrillReceipt {
            arguments: (0..ARGUMENTS_MAX).map(|ix| (key(ix), long.clone())).collect(),
            command: long.clone(),
            ..drill()
        };
        for body in [Receipt::PoolTest(largest), Receipt::Drill(Box::new(widest))] {
            assert_eq!(body.check(), Ok(()));
            assert!(serde_json::to_string(&entry(body)).unwrap().len() < 65_535);
        }
    }
}
