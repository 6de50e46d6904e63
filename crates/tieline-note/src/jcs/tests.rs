use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

use super::*;

fn canonical(text: &str) -> Result<String, JcsError> {
    canonicalize(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn rfc_8785_section_3_2_2() {
    let input = r#"{
        "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]
    }"#;
    let expected = concat!(
        r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#,
        r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#
    );
    assert_eq!(canonical(input).unwrap(), expected);
    assert!(is_canonical(expected.as_bytes()));
    assert!(!is_canonical(input.as_bytes()));
}

#[test]
fn rfc_8785_section_3_2_3_order_of_keys() {
    let input = r#"{
        "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis"
    }"#;
    let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
        \"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\
        \"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
    assert_eq!(canonical(input).unwrap(), expected);
    let map: HashMap<String, String> = serde_json::from_str(input).unwrap();
    assert_eq!(to_vec(&map).unwrap(), expected.as_bytes());
}

#[test]
fn rfc_8785_appendix_b_numbers() {
    for (bits, expected) in [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ] {
        assert_eq!(number::ecma(f64::from_bits(bits)), expected);
    }
    assert_eq!(to_vec(&f64::NAN), Err(JcsError::NotFinite));
    assert_eq!(canonical("1e400"), Err(JcsError::NotFinite));
}

#[test]
fn integers_end_at_2_to_the_53() {
    assert_eq!(to_vec(&INTEGER_MAX).unwrap(), b"9007199254740991");
    assert_eq!(to_vec(&-9_007_199_254_740_991_i64).unwrap(), b"-9007199254740991");
    assert!(matches!(to_vec(&(INTEGER_MAX + 1)), Err(JcsError::Integer(_))));
    assert!(matches!(to_vec(&i64::MIN), Err(JcsError::Integer(_))));
    assert!(matches!(to_vec(&u128::MAX), Err(JcsError::Integer(_))));
    assert!(matches!(to_vec(&1e17), Err(JcsError::Integer(_))));
    assert!(matches!(canonical("9007199254740992"), Err(JcsError::Integer(_))));
    assert!(matches!(canonical(&"9".repeat(1000)), Err(JcsError::Integer(text)) if text.len() < 50));
    assert!(matches!(canonical("1e17"), Err(JcsError::Integer(_))));
    assert_eq!(canonical("-0").unwrap(), "0");
}

#[test]
fn shapes_are_those_of_serde_json() {
    #[derive(Serialize)]
    enum Choice {
        Unit,
        One(u8),
        Two(u8, bool),
        Named { z: Option<u8>, a: char },
    }
    #[derive(Serialize)]
    struct Whole {
        zebra: Choice,
        apple: Vec<Choice>,
        unit: (),
        pair: (i8, &'static str),
    }
    let whole = Whole {
        zebra: Choice::Unit,
        apple: vec![
            Choice::One(1),
            Choice::Two(2, true),
            Choice::Named { z: None, a: '"' },
        ],
        unit: (),
        pair: (-1, "x"),
    };
    let expected = sorted(serde_json::to_value(&whole).unwrap()).to_string();
    assert_eq!(to_vec(&whole).unwrap(), expected.as_bytes());
}

/// All keys are ASCII. Whether serde_json's own map is sorted depends on the features that other packages switch on.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Object(members) => {
            let members: BTreeMap<String, Value> = members
                .into_iter()
                .map(|(key, member)| (key, sorted(member)))
                .collect();
            members.into_iter().collect()
        }
        other => other,
    }
}

#[test]
fn a_key_twice_is_an_error() {
    struct Twice(&'static [&'static str]);
    impl Serialize for Twice {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|key| (key, 1)))
        }
    }
    let duplicate = |key: &str| Err(JcsError::DuplicateKey(key.to_owned()));
    assert_eq!(to_vec(&Twice(&["a", "a"])), duplicate("a"));
    assert_eq!(to_vec(&Twice(&["a", "b", "a"])), duplicate("a"));
    assert_eq!(to_vec(&Twice(&["\n", "\n"])), duplicate("\n"));
    assert_eq!(
        canonical(r#"{"b":1,"a":{},"\u0062":2}"#),
        Err(JcsError::DuplicateKey("b".to_owned()))
    );
}

#[test]
fn refusals() {
    assert_eq!(to_vec(&BTreeMap::from([(1, 2)])), Err(JcsError::KeyNotText));
    let raw = serde_json::value::RawValue::from_string("1".to_owned()).unwrap();
    assert!(matches!(to_vec(&raw), Err(JcsError::Custom(_))));
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(canonical(&deep(DEPTH_MAX)).is_ok());
    assert_eq!(canonical(&deep(DEPTH_MAX + 1)), Err(JcsError::Depth));
    let mut nested = json!(1);
    for _ in 0..=DEPTH_MAX {
        nested = json!({ "a": nested });
    }
    let mut out = b"before".to_vec();
    assert_eq!(to_writer(&mut out, &nested), Err(JcsError::Depth));
    assert_eq!(out, b"before");
    for broken in [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "-",
        "tru",
        "nulll",
        "\"\t\"",
        "\"",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\u12\"",
        "1 2",
        "\u{feff}1",
        "NaN",
        "'a'",
    ] {
        assert!(
            matches!(canonical(broken), Err(JcsError::Syntax { .. })),
            "{broken:?}"
        );
    }
    assert!(matches!(
        canonicalize(b"\"\xff\""),
        Err(JcsError::Syntax { offset: 1, .. })
    ));
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991..=9_007_199_254_740_991_i64).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::hash_map("\\PC{0,3}|[\u{e000}\u{10000}\n\"a]{0,3}", inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn both_ways_agree_and_read_back(value in values()) {
        let written = to_vec(&value).unwrap();
        prop_assert_eq!(&serde_json::from_slice::<Value>(&written).unwrap(), &value);
        prop_assert_eq!(&canonicalize(value.to_string().as_bytes()).unwrap(), &written);
        prop_assert!(is_canonical(&written));
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        prop_assert_eq!(&canonicalize(&pretty).unwrap(), &written);
    }

    #[test]
    fn keys_are_in_utf16_order(keys in prop::collection::hash_set("[\u{20}\u{7f}é\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}\n\"]{0,4}", 0..12)) {
        let map: HashMap<&str, u8> = keys.iter().map(|key| (key.as_str(), 0)).collect();
        let written = String::from_utf8(to_vec(&map).unwrap()).unwrap();
        let mut expected: Vec<&String> = keys.iter().collect();
        expected.sort_by_key(|key| key.encode_utf16().collect::<Vec<_>>());
        let expected: Vec<String> =
            expected.iter().map(|key| format!("{}:0", serde_json::to_string(key).unwrap())).collect();
        prop_assert_eq!(written, format!("{{{}}}", expected.join(",")));
    }

    #[test]
    fn what_must_be_escaped_is_found_wherever_it_stands(text in "[a-z\u{0}-\u{22}\\\\\u{5b}-\u{5d}é\u{7f}-\u{81}\u{10000}]{0,40}") {
        let written = String::from_utf8(to_vec(&text).unwrap()).unwrap();
        prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text.clone());
        prop_assert_eq!(written.to_lowercase(), serde_json::to_string(&text).unwrap().to_lowercase());
    }

    #[test]
    fn floats_read_back_and_are_stable(value in any::<f64>()) {
        if let Ok(written) = to_vec(&value) {
            let text = String::from_utf8(written).unwrap();
            // Minus zero is written as zero.
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), (value + 0.0).to_bits());
            prop_assert!(is_canonical(text.as_bytes()));
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>, text in "[\\[\\]{}\",:0-9eE.+\\-\\\\ua-fn ]{0,40}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            if let Ok(canonical) = canonicalize(bytes) {
                prop_assert!(is_canonical(&canonical));
            }
        }
    }
}
