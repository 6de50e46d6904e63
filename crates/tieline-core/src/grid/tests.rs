//! A small grid that the tests of this crate share, and the tests of building one.

use std::sync::Arc;

use super::*;
use crate::money::PicoPerToken;
use crate::price::Price;
use crate::{Ask, Dialect, Limits, PoolIx};

pub(crate) fn two_channels_record() -> GridRecord {
    let served = |name: &str| ServedRecord {
        price_list: None,
        model: "m".into(),
        name: name.into(),
        price: Some(Price {
            input: PicoPerToken(1_000_000),
            output: PicoPerToken(2_000_000),
            ..Price::default()
        }),
        version: None,
    };
    let channel = |name: &str, region: &str, dialect| ChannelRecord {
        components: vec![region.into(), "lab:l".into()],
        dialect,
        limits: Limits::default(),
        media_tokens_max: None,
        quota: None,
        models: vec![served(name)],
        name: name.into(),
        provider: "openai-compatible".into(),
        region: Some(region.into()),
        operator_jurisdiction: None,
        region_country: None,
    };
    GridRecord {
        channels: vec![
            channel("a", "region:north/1", Dialect::OpenaiChat),
            channel("b", "region:south/1", Dialect::AnthropicMessages),
        ],
        components: [("region:north/1".into(), vec![Arc::from("cloud:north")])].into(),
        labs: vec![LabRecord {
            jurisdiction: Some("DE".into()),
            name: "l".into(),
        }],
        models: vec![ModelRecord {
            context_tokens: Some(4_096),
            lab: "l".into(),
            name: "m".into(),
            weights: Weights::Open,
            ..ModelRecord::default()
        }],
        pools: vec![PoolRecord {
            limits: Limits::default(),
            models: vec!["m".into()],
            name: "p".into(),
            settings: Settings::default(),
        }],
        settings: Settings::default(),
        prices: std::collections::BTreeMap::new(),
        t: GRID_V1.into(),
    }
}

pub(crate) fn two_channels() -> Snapshot {
    Snapshot::build(Arc::new(two_channels_record()), [7; 32]).unwrap()
}

#[test]
fn components_close_transitively() {
    let grid = two_channels();
    let cloud = grid.component_named("cloud:north").unwrap();
    assert!(grid.channels[0].components.contains(cloud));
    assert!(!grid.channels[1].components.contains(cloud));
}

#[test]
fn a_cycle_of_components_closes() {
    let mut record = two_channels_record();
    record
        .components
        .insert("cloud:north".into(), vec!["region:north/1".into()]);
    let grid = Snapshot::build(Arc::new(record), [0; 32]).unwrap();
    let region = grid.component_named("region:north/1").unwrap();
    assert!(grid.channels[0].components.contains(region));
}

#[test]
fn names_resolve_to_pools_models_or_nothing() {
    let grid = two_channels();
    assert_eq!(grid.resolve("p"), Ask::Pool(PoolIx(0)));
    assert_eq!(grid.resolve("m"), Ask::Model(ModelIx(0)));
    assert_eq!(grid.resolve("gpt-9"), Ask::Unknown(Some("gpt-9".into())));
    assert_eq!(
        grid.resolve("please tell me a secret"),
        Ask::Unknown(None),
        "prose never reaches a record"
    );
}

#[test]
fn a_record_that_does_not_hold_together_is_refused() {
    let check = |change: fn(&mut GridRecord), expected: &str| {
        let mut record = two_channels_record();
        change(&mut record);
        let error = Snapshot::build(Arc::new(record), [0; 32])
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(|r| r.channels[1].name = "a".into(), "channel `a` is named twice");
    check(
        |r| r.channels[1].models[0].model = "x".into(),
        "channel `b` names the model `x`",
    );
    check(|r| r.models[0].lab = "x".into(), "model `m` names the lab `x`");
    check(
        |r| r.pools[0].models.push("x".into()),
        "pool `p` names the model `x`",
    );
    check(
        |r| r.pools[0].name = "m".into(),
        "pool or model `m` is named twice",
    );
    check(
        |r| r.pools[0].models = vec!["m".into(); 5],
        "more than 8 candidates",
    );
    check(|r| r.t = "tieline/grid/v9".into(), "tieline/grid/v9");
}

/// As it was written before there were limits of pools, lists of prices and settings about money.
#[test]
fn a_grid_of_the_first_version_is_read_and_written_as_it_was() {
    let old = concat!(
        r#"{"channels":[{"components":[],"dialect":"openai_chat","limits":{"concurrency":3},"models":[{"model":"m","#,
        r#""name":"x","price":{"cache_read":1,"cache_write":2,"input":3,"output":4}}],"name":"c","provider":"openai"}],"#,
        r#""components":{},"labs":[{"name":"l"}],"models":[{"lab":"l","name":"m","weights":"open"}],"#,
        r#""pools":[{"models":["m"],"name":"p","settings":{"attempts_max":3,"call_ms":1,"connect_ms":1,"#,
        r#""first_content_ms":1,"head_ms":1,"idle_ms":1,"record":"async","resume":"off","whole_ms":1}}],"#,
        r#""settings":{"attempts_max":3,"call_ms":1,"connect_ms":1,"first_content_ms":1,"head_ms":1,"idle_ms":1,"#,
        r#""record":"async","resume":"off","whole_ms":1},"t":"tieline/grid/v1"}"#
    );
    let record: GridRecord = serde_json::from_str(old).unwrap();
    assert_eq!(record.pools[0].limits, Limits::default());
    assert_eq!(record.settings.unknown_price, UnknownPrice::Record);
    // What a decision cites keeps its digest.
    assert_eq!(serde_json::to_string(&record).unwrap(), old);
    assert!(Snapshot::build(Arc::new(record), [0; 32]).is_ok());
}

#[test]
fn a_version_is_read_and_written() {
    let said = r#"{"model":"m","name":"gpt","version":"2026-09-01"}"#;
    let served: ServedRecord = serde_json::from_str(said).unwrap();
    assert_eq!(served.version.as_deref(), Some("2026-09-01"));
    assert_eq!(serde_json::to_string(&served).unwrap(), said);
}
