//! Where calls come from: the country of an address is weak evidence for that call, the header of a proxy is believed from
//! proxies of one's own alone, and no address is kept anywhere.

use serde_json::{Value, json};
use tieline_core::Code;
use tieline_core::Dialect::OpenaiChat;
use tieline_gateway::{GeoDatabase, GeoSettings, IpNetwork};
use tieline_note::Digest;
use tieline_testkit::mmdb::{Layout, database};
use tieline_testkit::{Auto, Channel};

use crate::caller::{Ask, Reply};
use crate::house::{self, House, Plan};
use crate::identity::{self, Signers};
use crate::ledger::Book;

/// Networks for documentation (RFC 5737, RFC 3849) as places.
const GERMAN: &str = "203.0.113.7";
const GERMAN_TOO: &str = "203.0.113.200";
const GERMAN_V6: &str = "2001:db8:1::7";
const BELARUSIAN: &str = "198.51.100.7";
const FRENCH: &str = "192.0.2.7";
const NOWHERE: &str = "198.18.0.1";
const PRIVATE: &str = "10.1.2.3";

const NETWORKS: [(&str, &str); 5] = [
    ("203.0.113.0/24", "DE"),
    ("2001:db8:1::/48", "DE"),
    ("198.51.100.0/24", "BY"),
    ("192.0.2.0/24", "FR"),
    // A database that places what is nowhere is not believed.
    ("10.0.0.0/8", "BY"),
];

fn geo(layout: Layout, networks: &[(&str, &str)], proxies: &[&str]) -> GeoSettings {
    GeoSettings {
        database: GeoDatabase::open(database(layout, networks).unwrap()).unwrap(),
        proxies: proxies
            .iter()
            .map(|network| network.parse::<IpNetwork>().unwrap())
            .collect(),
    }
}

async fn house(channel: &Channel, geo: GeoSettings) -> House {
    let mut plan = Plan::new(vec![house::openai("a", channel)]);
    plan.identity.geo = Some(geo);
    plan.start().await
}

async fn ask(house: &House, key: u8, forwarded: &[&str]) -> Reply {
    let ask = Ask::plain(OpenaiChat, false).key(key);
    let with = |ask: Ask, line: &&str| ask.header("x-forwarded-for", line);
    house.ask(forwarded.iter().fold(ask, with)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_country_counts_where_nothing_is_known_and_where_it_is_stricter() {
    let channel = Channel::start(Auto::default()).unwrap();
    for layout in [Layout::Nested, Layout::Flat] {
        let house = house(&channel, geo(layout, &NETWORKS, &["127.0.0.0/8"])).await;
        let (served, held, denied) = ((200, None), (403, Some(Code::Held)), (403, Some(Code::Denied)));
        for (key, forwarded, expected) in [
            // Where the party is was not known.
            (house::HELD, &[GERMAN][..], served),
            (house::HELD, &[GERMAN_V6], served),
            (house::HELD, &[BELARUSIAN], denied),
            (house::HELD, &[PRIVATE], held),
            (house::HELD, &[NOWHERE], held),
            (house::HELD, &[], held),
            // It is known by a register: an address loosens nothing, and where it is stricter, it wins.
            (house::ALLOWED, &[BELARUSIAN], denied),
            (house::ALLOWED, &[FRENCH], served),
            (house::ALLOWED, &[PRIVATE], served),
            (house::DENIED, &[GERMAN], denied),
            // The right-most address that is no proxy of ours; what is left of it is hearsay.
            (house::HELD, &["198.51.100.7, 203.0.113.7"], served),
            (house::HELD, &["203.0.113.7, 198.51.100.7"], denied),
            (house::HELD, &["203.0.113.7:4711, 127.0.0.9, 127.1.1.1"], served),
            (house::HELD, &["[2001:db8:1::7]:4711 ,127.0.0.9"], served),
            (house::HELD, &[BELARUSIAN, GERMAN], served),
            (house::HELD, &["127.0.0.9, 127.1.1.1"], held),
            (house::HELD, &["203.0.113.7, unknown"], held),
            (house::HELD, &["203.0.113.7,"], held),
            (
                house::HELD,
                &[&["127.0.0.9"; 40].join(","), "203.0.113.7"],
                served,
            ),
            (house::HELD, &["203.0.113.7", &["127.0.0.9"; 40].join(",")], held),
        ] {
            let reply = ask(&house, key, forwarded).await;
            let found = (reply.status(), identity::code(&reply));
            let (status, code) = expected;
            assert_eq!(
                found,
                (status, code.map(Code::number)),
                "{key} {forwarded:?}: {}",
                reply.text()
            );
        }
        // What an officer grants is the organisation's, as the facts of the hold are.
        assert!(
            ask(&house, house::HELD, &[])
                .await
                .header("x-tieline-ticket")
                .is_some()
        );
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_others_than_ones_own_proxies_the_header_is_ignored() {
    let channel = Channel::start(Auto::default()).unwrap();
    for proxies in [&[][..], &["10.0.0.0/8", "2001:db8::/32"]] {
        let house = house(&channel, geo(Layout::Nested, &NETWORKS, proxies)).await;
        let reply = ask(&house, house::HELD, &[GERMAN]).await;
        assert_eq!(identity::code(&reply), Some(Code::Held.number()));
        assert_eq!(ask(&house, house::ALLOWED, &[BELARUSIAN]).await.status(), 200);
        house.stop().await;
    }
    assert!(
        channel
            .seen()
            .iter()
            .all(|seen| !format!("{seen:?}").contains("forwarded"))
    );
}

/// What is archived of the facts of the call `n`.
fn record(book: &Book, n: usize) -> Value {
    let (decision, _) = book.call_at(n);
    let bytes = book.blob(&Digest(decision.intake.party_digest.0)).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_country_is_recorded_and_the_address_is_not() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = house(&channel, geo(Layout::Nested, &NETWORKS, &["127.0.0.1"])).await;
    for address in [GERMAN, GERMAN_TOO, GERMAN_V6] {
        assert_eq!(ask(&house, house::HELD, &[address]).await.status(), 200);
    }
    assert_eq!(ask(&house, house::ALLOWED, &[BELARUSIAN]).await.status(), 403);
    let metrics = house.admin(house::READER, "GET", "/metrics", "").await;
    assert_eq!(metrics.status(), 200);
    let book = house.stop().await;
    for address in [GERMAN, GERMAN_TOO, GERMAN_V6, BELARUSIAN] {
        assert!(!book.says(address) && !metrics.text().contains(address));
    }
    // One country is one record, whatever the address.
    let weak = record(&book, 0);
    assert_eq!((&weak, &weak), (&record(&book, 1), &record(&book, 2)));
    assert_eq!(weak["facts"]["jurisdiction"], "DE");
    assert_eq!(weak["facts"]["kind"], "organisation");
    let piece = &weak["evidence"][0];
    assert_eq!(
        (&piece["kind"], &piece["issuer"], &piece["value"]),
        (
            &json!("geo_ip"),
            &json!("geoip:Test-Country"),
            &json!({ "jurisdiction": "DE" })
        )
    );
    assert_eq!(piece["digest"].as_str().map(str::len), Some(64));
    assert_eq!(weak.get("flags"), None);
    // The stronger evidence is the fact, the weaker is judged beside it, and somebody should look.
    let both = record(&book, 3);
    assert_eq!(both["facts"]["jurisdiction"], "DE");
    assert_eq!(
        both["facts"]["also"],
        json!([{ "value": { "jurisdiction": "BY" } }])
    );
    assert_eq!(both["flags"], json!(["jurisdiction"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_and_an_address_count_together() {
    let (signers, channel) = (Signers::new(), Channel::start(Auto::default()).unwrap());
    let mut plan = Plan::new(vec![house::openai("a", &channel)]);
    plan.identity.geo = Some(geo(Layout::Nested, &NETWORKS, &["127.0.0.0/8"]));
    plan.identity.issuers = vec![identity::issuer(&signers)];
    plan.packs = vec![house::class_pack()];
    let house = plan.start().await;
    let token = |changes| {
        signers.token(
            &json!({ "alg": "EdDSA", "kid": "ed" }),
            &identity::claims(&changes),
        )
    };
    let (us, elsewhere) = (token(json!({})), token(json!({ "place": null })));
    for (key, token, address, status, code) in [
        (house::ALLOWED, &us, GERMAN, 200, None),
        (house::ALLOWED, &us, BELARUSIAN, 403, Some(Code::Denied)),
        // The token says who the person is, the address where.
        (house::HELD, &elsewhere, GERMAN, 200, None),
        (house::HELD, &elsewhere, PRIVATE, 403, Some(Code::Held)),
        (
            house::HELD,
            &"x.y.z".into(),
            GERMAN,
            401,
            Some(Code::IdentityRefused),
        ),
    ] {
        let ask = identity::ask(token).key(key).header("x-forwarded-for", address);
        let reply = house.ask(ask).await;
        let found = (reply.status(), identity::code(&reply));
        assert_eq!(
            found,
            (status, code.map(Code::number)),
            "{address}: {}",
            reply.text()
        );
        assert_eq!(reply.header("x-tieline-ticket"), None, "it would be the person's");
    }
    // Without a token the call is the organisation's.
    let held = ask(&house, house::ALLOWED, &[GERMAN]).await;
    assert!(held.header("x-tieline-ticket").is_some(), "{}", held.text());
    let book = house.stop().await;
    let kinds: Vec<Value> = record(&book, 0)["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .map(|piece| piece["kind"].clone())
        .collect();
    assert_eq!(kinds, ["employer_assertion", "employer_assertion", "geo_ip"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_database_counts_from_the_reload_on() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = house(&channel, geo(Layout::Nested, &NETWORKS, &["127.0.0.0/8"])).await;
    assert_eq!(ask(&house, house::HELD, &[GERMAN]).await.status(), 200);
    let moved = geo(Layout::Nested, &[("203.0.113.0/24", "BY")], &["127.0.0.0/8"]);
    house.reload(|plan| plan.identity.geo = Some(moved)).unwrap();
    let reply = ask(&house, house::HELD, &[GERMAN]).await;
    assert_eq!(identity::code(&reply), Some(Code::Denied.number()));
    house.reload(|plan| plan.identity.geo = None).unwrap();
    let reply = ask(&house, house::HELD, &[GERMAN]).await;
    assert_eq!(identity::code(&reply), Some(Code::Held.number()));
    house.stop().await;
}

#[test]
fn a_file_that_is_no_database_of_countries_says_why() {
    let good = database(Layout::Nested, &NETWORKS).unwrap();
    let check = |bytes: Vec<u8>, says: &str| {
        let found = GeoDatabase::open(bytes).err().unwrap_or_default();
        assert!(
            found.contains(says) && found.is_empty() == says.is_empty(),
            "{found}"
        );
    };
    check(good.clone(), "");
    check(Vec::new(), "no whole MaxMind-format database");
    check(
        b"\x1f\x8b not unpacked".to_vec(),
        "no whole MaxMind-format database",
    );
    check(
        database(Layout::Other, &NETWORKS).unwrap(),
        "without countries (`Test-Country`)",
    );
    check(database(Layout::Nested, &[]).unwrap(), "without countries");
    check(
        database(Layout::Nested, &[("203.0.113.0/24", "Germany")]).unwrap(),
        "without countries",
    );
    // Tree and records are walked before any address is looked up: what is broken may be refused, and breaks nothing.
    for at in 0..good.len() {
        for flip in [0xff, 0x80, 0x01] {
            let mut broken = good.clone();
            broken[at] ^= flip;
            let _ = GeoDatabase::open(broken);
        }
        let _ = GeoDatabase::open(good[..at].to_vec());
    }
}
