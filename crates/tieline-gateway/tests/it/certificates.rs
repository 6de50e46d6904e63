//! Client certificates: who may connect is settled by their authorities, what they assert by the operator's patterns, for
//! as long as they last; nothing of their subjects is kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tieline_core::Code;
use tieline_core::Dialect::OpenaiChat;
use tieline_gateway::{CertificateRule, ClaimFact, ClientAuth, NamePattern, TlsFiles};
use tieline_note::Digest;
use tieline_testkit::{Auto, Channel};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::caller::{Ask, Caller, Reply};
use crate::house::{self, House, LIMIT, Plan};
use crate::identity::{self, Signers};
use crate::ledger::Book;
use crate::transport::data;

/// What stands in every certificate about its subject, and nowhere else.
const SUBJECT: &str = "Workload 4711 of A. Person";

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key, as a client sends it.
struct Client {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate that began an hour ago.
    fn sign(&self, names: Vec<SanType>, ends_in_s: i64) -> Client {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, SUBJECT);
        params.subject_alt_names = names;
        let now = SystemTime::now();
        params.not_before = (now - Duration::from_hours(1)).into();
        let span = Duration::from_secs(ends_in_s.unsigned_abs());
        params.not_after = if ends_in_s < 0 { now - span } else { now + span }.into();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Client {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        }
    }
}

fn spiffe(id: &str) -> SanType {
    SanType::URI(Ia5String::try_from(id).unwrap())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(name).unwrap())
}

fn rule(name: &str, names: NamePattern, jurisdiction: &str) -> CertificateRule {
    CertificateRule {
        facts: vec![
            (ClaimFact::Jurisdiction, vec![jurisdiction.into()]),
            (ClaimFact::EndUses, vec!["research".into(), "translation".into()]),
        ],
        name: name.into(),
        names,
        parties: [].into(),
    }
}

fn rules() -> Vec<CertificateRule> {
    let of = |id: &str| NamePattern::Spiffe(id.into());
    vec![
        rule("berlin", of("spiffe://acme.example/ns/berlin/*"), "DE"),
        rule("minsk", of("spiffe://acme.example/ns/minsk/*"), "BY"),
        rule("batch", NamePattern::Dns("*.batch.acme.example".into()), "DE"),
        CertificateRule {
            parties: ["p_1".into()].into(),
            ..rule("limited", of("spiffe://acme.example/ns/limited"), "DE")
        },
    ]
}

/// The files of the server, with the authority of its clients.
fn files(dir: &TempDir, authority: &Authority, is_required: bool) -> TlsFiles {
    let ca: PathBuf = dir.path().join("clients.pem");
    std::fs::write(&ca, &authority.pem).unwrap();
    TlsFiles {
        cert: data("server.pem"),
        client: Some(ClientAuth { ca, is_required }),
        key: data("server.key.pem"),
    }
}

async fn house(channel: &Channel, files: TlsFiles) -> House {
    let mut plan = Plan::new(vec![house::openai("a", channel)]);
    plan.identity.certificates = rules();
    plan.gateway(|gateway| gateway.tls = Some(files)).start().await
}

async fn connect(house: &House, client: Option<Client>) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(data("authority.pem")).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_root_certificates(roots);
    let config = match client {
        None => config.with_no_client_auth(),
        Some(Client { chain, key }) => config.with_client_auth_cert(chain, key).unwrap(),
    };
    let stream = TcpStream::connect(house.listen).await?;
    let name = ServerName::try_from("gateway.example").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn caller(house: &House, client: Option<Client>) -> Caller<TlsStream<TcpStream>> {
    Caller::over(connect(house, client).await.unwrap())
}

async fn ask(caller: &mut Caller<TlsStream<TcpStream>>, ask: Ask) -> Reply {
    caller.send(&ask).await;
    caller.reply().await
}

fn plain(key: u8) -> Ask {
    Ask::plain(OpenaiChat, false).key(key)
}

/// Whether a connection carries a call at all. In TLS 1.3 a client learns only after its handshake that it was turned away.
async fn is_let_in(house: &House, client: Option<Client>) -> bool {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let Ok(mut stream) = connect(house, client).await else {
        return false;
    };
    let head = b"GET /healthz HTTP/1.1\r\nhost: gateway.example\r\nconnection: close\r\n\r\n";
    if stream.write_all(head).await.is_err() {
        return false;
    }
    let mut rest = Vec::new();
    let read = tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest));
    let _ = read.await.expect("the connection ends");
    rest.starts_with(b"HTTP/1.1 200")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_a_certificate_of_the_authority_is_let_in_and_no_other() {
    let (dir, channel) = (
        tempfile::tempdir().unwrap(),
        Channel::start(Auto::default()).unwrap(),
    );
    let (ours, theirs) = (Authority::new(), Authority::new());
    for is_required in [true, false] {
        let house = house(&channel, files(&dir, &ours, is_required)).await;
        let name = || vec![spiffe("spiffe://acme.example/ns/berlin/a")];
        assert!(is_let_in(&house, Some(ours.sign(name(), 3_600))).await);
        assert!(is_let_in(&house, Some(ours.sign(Vec::new(), 3_600))).await);
        assert!(!is_let_in(&house, Some(theirs.sign(name(), 3_600))).await);
        assert!(!is_let_in(&house, Some(ours.sign(name(), -60))).await, "expired");
        assert_eq!(is_let_in(&house, None).await, !is_required);
        house.stop().await;
    }
}

type Expected = (u16, Option<Code>);

/// Names of certificates, keys that they come with, and what becomes of the call.
fn cases() -> Vec<(Vec<SanType>, u8, Expected)> {
    let (served, held) = ((200, None), (403, Some(Code::Held)));
    let (denied, refused) = ((403, Some(Code::Denied)), (401, Some(Code::IdentityRefused)));
    let id = |path: &str| spiffe(&format!("spiffe://acme.example/ns/{path}"));
    let batch = || dns("a.batch.acme.example");
    vec![
        (vec![id("berlin/a")], house::HELD, served),
        (vec![batch()], house::HELD, served),
        (
            vec![dns("other.example"), dns("A.batch.acme.example")],
            house::HELD,
            served,
        ),
        // Stricter than what is known of the party, and no looser.
        (vec![id("minsk/a")], house::ALLOWED, denied),
        (vec![id("berlin/a")], house::DENIED, denied),
        // Names that match nothing, or are no SPIFFE id, assert nothing.
        (vec![id("paris/a")], house::HELD, held),
        (vec![id("berlin/../minsk")], house::HELD, held),
        (
            vec![id("berlin/a"), spiffe("spiffe://other.example/x")],
            house::HELD,
            held,
        ),
        (vec![dns("acme.example")], house::HELD, held),
        (vec![], house::HELD, held),
        (vec![], house::ALLOWED, served),
        // Every pattern that matches counts.
        (vec![id("minsk/a"), batch()], house::HELD, denied),
        // With the keys of one party alone.
        (vec![id("limited")], house::ALLOWED, served),
        (vec![id("limited")], house::HELD, refused),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_asserts_what_its_names_stand_for() {
    let (dir, channel) = (
        tempfile::tempdir().unwrap(),
        Channel::start(Auto::default()).unwrap(),
    );
    let authority = Authority::new();
    let house = house(&channel, files(&dir, &authority, false)).await;
    for (names, key, expected) in cases() {
        let mut caller = caller(&house, Some(authority.sign(names.clone(), 3_600))).await;
        for again in [false, true] {
            let reply = ask(&mut caller, plain(key)).await;
            let found = (reply.status(), identity::code(&reply));
            let (status, code) = expected;
            assert_eq!(
                found,
                (status, code.map(Code::number)),
                "{names:?} {again}: {}",
                reply.text()
            );
            assert_eq!(
                reply.header("x-tieline-ticket").is_some(),
                code == Some(Code::Held)
            );
        }
    }
    let mut caller = caller(&house, None).await;
    let reply = ask(&mut caller, plain(house::HELD)).await;
    assert_eq!(identity::code(&reply), Some(Code::Held.number()));
    drop(caller);
    cites_the_workload(&house.stop().await);
}

/// The first call cites facts and evidence, and says nothing else of the workload.
fn cites_the_workload(book: &Book) {
    assert!(!book.says(SUBJECT) && !book.says("spiffe://"));
    let (decision, _) = book.call_at(0);
    let record = book.blob(&Digest(decision.intake.party_digest.0)).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    let piece = &record["evidence"][0];
    assert_eq!(
        (&piece["kind"], &piece["issuer"]),
        (&json!("workload_identity"), &json!("certificate:berlin"))
    );
    assert_eq!(piece["digest"].as_str().map(str::len), Some(64));
    assert!(
        piece["expires"].is_u64() || piece["expires"].is_string(),
        "{piece}"
    );
    assert_eq!(record["facts"]["end_uses"], json!(["research", "translation"]));
    assert_eq!(record["facts"]["kind"], "organisation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_certificate_asserts_ends_with_it() {
    let (dir, channel) = (
        tempfile::tempdir().unwrap(),
        Channel::start(Auto::default()).unwrap(),
    );
    let authority = Authority::new();
    let house = house(&channel, files(&dir, &authority, false)).await;
    let client = authority.sign(vec![spiffe("spiffe://acme.example/ns/berlin/a")], 2);
    let mut caller = caller(&house, Some(client)).await;
    assert_eq!(ask(&mut caller, plain(house::HELD)).await.status(), 200);
    let until = tokio::time::Instant::now() + LIMIT;
    loop {
        let reply = ask(&mut caller, plain(house::HELD)).await;
        if reply.status() == 401 {
            assert_eq!(identity::code(&reply), Some(Code::IdentityRefused.number()));
            assert!(reply.text().contains("has expired"), "{}", reply.text());
            break;
        }
        // A call that begins before the end may be judged after it: by what is left.
        let is_late = identity::code(&reply) == Some(Code::Held.number());
        assert!(reply.status() == 200 || is_late, "{}", reply.text());
        assert!(tokio::time::Instant::now() < until, "the certificate expires");
    }
    drop(caller);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_comes_beside_a_certificate() {
    let (dir, channel) = (
        tempfile::tempdir().unwrap(),
        Channel::start(Auto::default()).unwrap(),
    );
    let (signers, authority) = (Signers::new(), Authority::new());
    let mut plan = Plan::new(vec![house::openai("a", &channel)]);
    plan.identity.certificates = rules();
    plan.identity.issuers = vec![identity::issuer(&signers)];
    plan.packs = vec![house::class_pack()];
    let files = files(&dir, &authority, true);
    let house = plan.gateway(|gateway| gateway.tls = Some(files)).start().await;
    let token = |changes| {
        signers.token(
            &json!({ "alg": "EdDSA", "kid": "ed" }),
            &identity::claims(&changes),
        )
    };
    for (id, changes, expected) in [
        (
            "spiffe://acme.example/ns/berlin/a",
            json!({ "place": null }),
            (200, None),
        ),
        (
            "spiffe://acme.example/ns/berlin/a",
            json!({ "place": null, "staff": null }),
            (403, Some(Code::Held)),
        ),
        (
            "spiffe://acme.example/ns/minsk/a",
            json!({}),
            (403, Some(Code::Denied)),
        ),
        (
            "spiffe://acme.example/ns/berlin/a",
            json!({ "aud": "other" }),
            (401, Some(Code::IdentityRefused)),
        ),
    ] {
        let mut caller = caller(&house, Some(authority.sign(vec![spiffe(id)], 3_600))).await;
        let reply = ask(&mut caller, identity::ask(&token(changes)).key(house::HELD)).await;
        let (status, code) = expected;
        assert_eq!(
            (reply.status(), identity::code(&reply)),
            (status, code.map(Code::number)),
            "{}",
            reply.text()
        );
        assert_eq!(reply.header("x-tieline-ticket"), None);
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_cannot_be_used_is_an_error_of_the_start() {
    let files = TlsFiles {
        cert: data("server.pem"),
        client: Some(ClientAuth {
            ca: data("server.key.pem"),
            is_required: true,
        }),
        key: data("server.key.pem"),
    };
    let plan = Plan::new(Vec::new()).gateway(|gateway| gateway.tls = Some(files));
    let error = plan
        .start_in(tempfile::tempdir().unwrap())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("server.key.pem"), "{error}");
}
