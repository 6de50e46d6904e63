//! Tokens about end users: what they assert counts for their calls, for as long as they are valid; what is wrong with one
//! refuses the call in the caller's dialect, is recorded, and never leaves a more favourable fact.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tieline_core::Code;
use tieline_core::Dialect::{AnthropicMessages, OpenaiChat};
use tieline_core::record::{AskRecord, Outcome};
use tieline_gateway::{ClaimFact, ClaimRule, IssuerSettings, KeySource};
use tieline_note::Digest;
use tieline_testkit::{Auto, Channel};

use crate::caller::{Ask, Reply};
use crate::house::{self, House, LIMIT, Plan};
use crate::ledger::{Book, ended};

const ISSUER: &str = "https://login.example.org";
const AUDIENCE: &str = "tieline";
pub(crate) const HEADER: &str = "x-tieline-identity";

/// What stands in every token about the person, and nowhere else.
pub(crate) const SUBJECT: &str = "person-4711@example.org";

pub(crate) struct Signers {
    ed: Ed25519KeyPair,
    es: EcdsaKeyPair,
    rs: RsaKeyPair,
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signers {
    pub(crate) fn new() -> Self {
        Self {
            ed: Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap(),
            es: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            rs: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        }
    }

    fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        match alg {
            "EdDSA" => self.ed.sign(message).as_ref().to_vec(),
            "ES256" => self.es.sign(&rng, message).unwrap().as_ref().to_vec(),
            "RS256" => {
                let mut signature = vec![0; self.rs.public_modulus_len()];
                self.rs
                    .sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature)
                    .unwrap();
                signature
            }
            _ => Vec::new(),
        }
    }

    pub(crate) fn set(&self) -> Value {
        let point = self.es.public_key().as_ref();
        // RSAPublicKey (RFC 8017, A.1.1) of 2,048 bits: the modulus stands behind nine bytes of tags and lengths.
        let modulus = &self.rs.public_key().as_ref()[9..9 + 256];
        json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": base64(self.ed.public_key()) },
            { "kty": "EC", "crv": "P-256", "kid": "es", "use": "sig", "x": base64(&point[1..33]), "y": base64(&point[33..]) },
            { "kty": "RSA", "alg": "RS256", "kid": "rs", "n": base64(modulus), "e": "AQAB" },
        ] })
    }

    pub(crate) fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let signature = self.sign(header["alg"].as_str().unwrap(), signed.as_bytes());
        format!("{signed}.{}", base64(signature))
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The claims of a token that is valid for an hour, with some replaced; null takes one out.
pub(crate) fn claims(changes: &Value) -> Value {
    let now = now_s();
    let mut claims = json!({
        "aud": ["other", AUDIENCE], "email": SUBJECT, "exp": now + 3_600, "iat": now, "iss": ISSUER, "nbf": now,
        "place": "US", "staff": ["us", "everybody"], "sub": SUBJECT,
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name.as_str()] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    claims
}

pub(crate) fn issuer(signers: &Signers) -> IssuerSettings {
    let rule = |fact, claim: &str, map: &[(&str, &str)]| ClaimRule {
        claim: claim.into(),
        fact,
        map: map
            .iter()
            .map(|(from, to)| ((*from).to_owned(), vec![(*to).to_owned()]))
            .collect::<BTreeMap<_, _>>(),
    };
    IssuerSettings {
        audience: AUDIENCE.into(),
        claims: vec![
            rule(
                ClaimFact::PersonClass,
                "staff",
                &[("us", "us_person"), ("d5", "nationality_group:D5")],
            ),
            rule(ClaimFact::Jurisdiction, "place", &[]),
        ],
        header: HEADER.into(),
        is_proofed: false,
        issuer: ISSUER.into(),
        jwks: KeySource::Set(signers.set().to_string().into_bytes()),
    }
}

/// A house that holds whoever is not known to be a US person.
async fn house(signers: &Signers, channel: &Channel) -> House {
    let mut plan = Plan::new(vec![house::openai("a", channel)]);
    plan.identity.issuers = vec![issuer(signers)];
    plan.packs = vec![house::class_pack()];
    plan.start().await
}

pub(crate) fn ask(token: &str) -> Ask {
    Ask::plain(OpenaiChat, false).header(HEADER, token)
}

pub(crate) fn code(reply: &Reply) -> Option<&str> {
    reply.header("x-tieline-error")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_us_person_is_served_and_another_is_held() {
    let (signers, channel) = (Signers::new(), Channel::start(Auto::default()).unwrap());
    let house = house(&signers, &channel).await;
    let kid = |alg: &str| alg.chars().take(2).collect::<String>().to_lowercase();
    let token = |alg: &str, changes| {
        signers.token(
            &json!({ "alg": alg, "kid": kid(alg), "typ": "JWT" }),
            &claims(&changes),
        )
    };
    let held = Some(Code::Held.number());
    for (token, key, status, error) in [
        (token("EdDSA", json!({})), house::ALLOWED, 200, None),
        (token("ES256", json!({})), house::ALLOWED, 200, None),
        (token("RS256", json!({})), house::ALLOWED, 200, None),
        // Of a class that is not permitted, of none that is mapped, of none.
        (
            token("EdDSA", json!({ "staff": "d5" })),
            house::ALLOWED,
            403,
            held,
        ),
        (
            token("EdDSA", json!({ "staff": ["everybody"] })),
            house::ALLOWED,
            403,
            held,
        ),
        (
            token("EdDSA", json!({ "staff": null })),
            house::ALLOWED,
            403,
            held,
        ),
        // Where the party is was not known before the token said it.
        (token("EdDSA", json!({})), house::HELD, 200, None),
        (token("EdDSA", json!({ "place": null })), house::HELD, 403, held),
        // A place that contradicts the party's makes stricter, and never looser.
        (
            token("EdDSA", json!({ "place": "BY" })),
            house::ALLOWED,
            403,
            Some(Code::Denied.number()),
        ),
        (
            token("EdDSA", json!({})),
            house::DENIED,
            403,
            Some(Code::Denied.number()),
        ),
    ] {
        let reply = house.ask(ask(&token).key(key)).await;
        assert_eq!(
            (reply.status(), code(&reply)),
            (status, error),
            "{}",
            reply.text()
        );
        // A grant would be the whole party's, so a hold that rests on one person's token has no ticket.
        assert_eq!(reply.header("x-tieline-ticket"), None);
    }
    let without = house.ask(Ask::plain(OpenaiChat, false)).await;
    assert_eq!((without.status(), code(&without)), (403, held));
    assert!(without.header("x-tieline-ticket").is_some());
    assert!(
        channel
            .seen()
            .iter()
            .all(|seen| !format!("{seen:?}").contains(HEADER))
    );
    let book = house.stop().await;
    assert!(!format!("{:?}", book.entries).contains(SUBJECT));
    cites_the_person(&book);
}

/// The first call cites facts and evidence, and says nothing else of the person.
fn cites_the_person(book: &Book) {
    let (decision, _) = book.call_at(0);
    let record = book.blob(&Digest(decision.intake.party_digest.0)).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["id"], "p_1");
    assert_eq!(record["facts"]["kind"], "person");
    assert_eq!(record["facts"]["person_class"], json!(["us_person"]));
    let digest = &record["evidence"][0]["digest"];
    assert_eq!(digest.as_str().map(str::len), Some(64), "{record}");
    assert_eq!(record["evidence"][0]["issuer"], ISSUER);
    assert!(!record.to_string().contains(SUBJECT));
}

/// Tokens with a header or pins that are not believed, and what is said of each.
fn unbelieved(signers: &Signers) -> Vec<(String, &'static str)> {
    let good = json!({ "alg": "EdDSA", "kid": "ed" });
    let with = |changes| signers.token(&good, &claims(&changes));
    vec![
        (
            signers.token(&json!({ "alg": "none", "kid": "ed" }), &claims(&json!({}))),
            "(`alg`) is not RS256",
        ),
        (
            signers.token(&json!({ "alg": "None" }), &claims(&json!({}))),
            "(`alg`) is not RS256",
        ),
        (
            signers.token(&json!({ "alg": "EdDSA", "kid": "es" }), &claims(&json!({}))),
            "that of its key",
        ),
        (
            signers.token(&json!({ "alg": "EdDSA", "kid": "x" }), &claims(&json!({}))),
            "(`kid`)",
        ),
        (
            signers.token(&json!({ "alg": "EdDSA" }), &claims(&json!({}))),
            "(`kid`)",
        ),
        (
            signers.token(
                &json!({ "alg": "EdDSA", "kid": "ed", "crit": ["b64"] }),
                &claims(&json!({})),
            ),
            "(`crit`)",
        ),
        (with(json!({ "aud": "other" })), "(`aud`)"),
        (with(json!({ "aud": null })), "(`aud`)"),
        (with(json!({ "iss": "https://evil.example.org" })), "(`iss`)"),
        (with(json!({ "iss": null })), "(`iss`)"),
    ]
}

/// Tokens whose instants or claims cannot be taken.
fn unusable(signers: &Signers) -> Vec<(String, &'static str)> {
    let now = now_s();
    let good = json!({ "alg": "EdDSA", "kid": "ed" });
    let with = |changes| signers.token(&good, &claims(&changes));
    vec![
        (with(json!({ "exp": now - 61 })), "has expired"),
        (with(json!({ "exp": null })), "no instant of expiry"),
        (with(json!({ "exp": "tomorrow" })), "no instant of expiry"),
        (with(json!({ "exp": u64::MAX })), "no instant of expiry"),
        (with(json!({ "exp": now * 1_000 })), "too far"),
        (with(json!({ "nbf": now + 3_000 })), "not yet valid"),
        (with(json!({ "iat": now + 3_000 })), "not yet valid"),
        (with(json!({ "place": "Atlantis" })), "`jurisdiction`"),
        (with(json!({ "staff": { "us": true } })), "`person_class`"),
        (with(json!({ "padding": "x".repeat(20_000) })), "larger than"),
    ]
}

/// Texts that are no token, or not one that the issuer signed.
fn unsigned(signers: &Signers) -> Vec<(String, &'static str)> {
    let good = json!({ "alg": "EdDSA", "kid": "ed" });
    let with = |changes| signers.token(&good, &claims(&changes));
    let valid = with(json!({}));
    // The public key as the secret of a symmetric algorithm.
    let hmac = {
        let header = base64(json!({ "alg": "HS256", "kid": "ed" }).to_string());
        let signed = format!("{header}.{}", base64(claims(&json!({})).to_string()));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, signers.ed.public_key().as_ref());
        format!(
            "{signed}.{}",
            base64(aws_lc_rs::hmac::sign(&key, signed.as_bytes()))
        )
    };
    let (body, _) = valid.rsplit_once('.').unwrap();
    let forged = {
        let [header, _, signature] = valid.split('.').collect::<Vec<_>>()[..] else {
            panic!()
        };
        format!(
            "{header}.{}.{signature}",
            base64(claims(&json!({ "place": "DE" })).to_string())
        )
    };
    vec![
        (hmac, "(`alg`) is not RS256"),
        (format!("{body}.{}", base64([0; 64])), "signature"),
        (forged, "signature"),
        (format!("{body}."), "signature"),
        (body.to_owned(), "compact form"),
        ("garbage".to_owned(), "compact form"),
        ("..".to_owned(), "compact form"),
        (String::new(), "compact form"),
        (format!("Bearer {valid}"), "compact form"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_token_refuses_the_call_and_says_which_check_failed() {
    let (signers, channel) = (Signers::new(), Channel::start(Auto::default()).unwrap());
    let house = house(&signers, &channel).await;
    let valid = signers.token(&json!({ "alg": "EdDSA", "kid": "ed" }), &claims(&json!({})));
    let tables = [unbelieved(&signers), unusable(&signers), unsigned(&signers)];
    for (token, says) in tables.concat() {
        for dialect in [OpenaiChat, AnthropicMessages] {
            let reply = house.ask(Ask::plain(dialect, false).header(HEADER, &token)).await;
            let (status, _, found) = reply.problem(dialect);
            assert_eq!(
                (status, found.as_deref()),
                (401, Some(Code::IdentityRefused.name())),
                "{token}"
            );
            assert!(reply.text().contains(says), "{says}: {}", reply.text());
            assert!(
                token.len() < 8 || !reply.text().contains(token.get(..8).unwrap()),
                "{}",
                reply.text()
            );
        }
    }
    let twice = house.ask(ask(&valid).header(HEADER, &valid)).await;
    assert_eq!(code(&twice), Some(Code::IdentityRefused.number()));
    assert!(twice.text().contains("more than one"));
    // The next call on the same gateway is none the worse.
    assert_eq!(house.ask(ask(&valid)).await.status(), 200);
    assert_eq!(channel.seen_count(), 1);
    let book = house.stop().await;
    let (decision, outcome) = book.call_at(0);
    assert_eq!(decision.intake.ask, AskRecord::Unreadable(Code::IdentityRefused));
    assert_eq!(ended(outcome), (Outcome::Refused, Some(Code::IdentityRefused)));
    assert!(!format!("{:?}", book.entries).contains(SUBJECT));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_token_asserts_ends_with_it() {
    let (signers, channel) = (Signers::new(), Channel::start(Auto::default()).unwrap());
    let house = house(&signers, &channel).await;
    // The tolerance for clocks ends in three seconds.
    let header = json!({ "alg": "EdDSA", "kid": "ed" });
    let token = signers.token(&header, &claims(&json!({ "exp": now_s() - 57 })));
    assert_eq!(house.ask(ask(&token)).await.status(), 200);
    let until = tokio::time::Instant::now() + LIMIT;
    loop {
        let reply = house.ask(ask(&token)).await;
        // One that came just before the end is judged after it, by what is left of the facts.
        if reply.status() != 200 && code(&reply) != Some(Code::Held.number()) {
            assert_eq!(code(&reply), Some(Code::IdentityRefused.number()));
            assert!(reply.text().contains("has expired"), "{}", reply.text());
            break;
        }
        assert!(tokio::time::Instant::now() < until, "the token expires");
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_judged_anew_under_new_keys_and_new_records() {
    let (signers, channel) = (Signers::new(), Channel::start(Auto::default()).unwrap());
    let house = house(&signers, &channel).await;
    let header = json!({ "alg": "EdDSA", "kid": "ed" });
    let token = signers.token(&header, &claims(&json!({})));
    assert_eq!(house.ask(ask(&token)).await.status(), 200);
    let party = serde_json::to_string(&house::party("p_1", Some("BY"))).unwrap();
    let put = house
        .admin(house::OFFICER, "POST", "/admin/v1/parties", &party)
        .await;
    assert_eq!(put.status(), 200, "{}", put.text());
    assert_eq!(code(&house.ask(ask(&token)).await), Some(Code::Denied.number()));
    let mut set = signers.set();
    set["keys"][0]["kid"] = json!("rotated");
    house
        .reload(|plan| plan.identity.issuers[0].jwks = KeySource::Set(set.to_string().into_bytes()))
        .unwrap();
    assert_eq!(
        code(&house.ask(ask(&token)).await),
        Some(Code::IdentityRefused.number())
    );
    // A key set that is none leaves the old configuration in force.
    let kept = house.reload(|plan| plan.identity.issuers[0].jwks = KeySource::Set(b"{}".to_vec()));
    assert!(kept.unwrap_err().contains("key set"));
    let header = json!({ "alg": "EdDSA", "kid": "rotated" });
    let token = signers.token(&header, &claims(&json!({})));
    assert_eq!(code(&house.ask(ask(&token)).await), Some(Code::Denied.number()));
    house.stop().await;
}
