//! A gateway with its grid, keys and state folder, built in code. [`House::stop`] ends each test: it waits until loads are
//! back at zero, stops, and audits the ledger.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tieline_core::grid::{
    ChannelRecord, GRID_V1, LabRecord, ModelRecord, PoolRecord, ServedRecord, Settings, Weights,
};
use tieline_core::{Dialect, GridRecord, Limits, Price, Quota};
use tieline_gateway::{
    AdminKeyRow, AdoptionRow, ChannelWiring, Endpoint, Gateway, GatewaySettings, Identity, IdentitySettings,
    KeyRow, LedgerSettings, LicenceRow, Loaded, Lock, PartyRow, Secret, StartError, Started, State, Token,
};
use tieline_note::Verifier;
use tieline_policy::{Pack, Signers, Source, Status};
use tieline_testkit::Channel;
use tieline_wire::Provider;

use crate::caller::{Ask, Caller, Reply};
use crate::ledger::Book;

/// Far beyond any wait of a passing test.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The model of the house, and the pool that stands for it.
pub(crate) const MODEL: &str = "m1";
pub(crate) const POOL: &str = "chat";

/// What the gateway sends to channels as its credential; no caller may ever see it.
pub(crate) const CREDENTIAL: &str = "sk-channel-credential-1";

/// The numbers of keys: the secret of key `n` is 32 bytes of `n`.
pub(crate) const ALLOWED: u8 = 1;
pub(crate) const DENIED: u8 = 2;
pub(crate) const HELD: u8 = 3;
pub(crate) const REVOKED: u8 = 4;
pub(crate) const SCOPED: u8 = 5;
pub(crate) const OPERATOR: u8 = 101;
pub(crate) const OFFICER: u8 = 102;
pub(crate) const AUDITOR: u8 = 103;
pub(crate) const READER: u8 = 104;

const ROLES: [(u8, &str); 4] = [
    (OPERATOR, "operator"),
    (OFFICER, "officer"),
    (AUDITOR, "auditor"),
    (READER, "reader"),
];

/// The configuration as it stands; a reload reads it again.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// What `load` fails with, if it does.
    pub(crate) broken: Option<String>,
    pub(crate) gateway: GatewaySettings,
    /// Whose evidence about single calls is believed.
    pub(crate) identity: IdentitySettings,
    /// Further keys of the allowed party, before the first start.
    pub(crate) keys: Vec<(u8, Limits)>,
    /// Licences as they were recorded, before the first start.
    pub(crate) licences: Vec<LicenceRow>,
    pub(crate) models: Vec<&'static str>,
    /// Of the pool.
    pub(crate) pool_limits: Limits,
    /// Further pools: a name, and the models that it stands for.
    pub(crate) aliases: Vec<(&'static str, Vec<&'static str>)>,
    pub(crate) packs: Vec<Pack>,
    pub(crate) signers: Option<Signers>,
    /// Whose signatures make a statement.
    pub(crate) statement_keys: Vec<Verifier>,
    /// Of the pool, where it has settings of its own.
    pub(crate) pool: Option<Settings>,
    pub(crate) settings: Settings,
    pub(crate) watched: Vec<PathBuf>,
    pub(crate) ways: Vec<Way>,
}

/// A channel of the plan.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) address: String,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) components: Vec<&'static str>,
    pub(crate) dialect: Dialect,
    pub(crate) limits: Limits,
    pub(crate) models: Vec<&'static str>,
    pub(crate) name: &'static str,
    pub(crate) quota: Option<Quota>,
    pub(crate) tls: bool,
}

/// A gateway that serves.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) admin: SocketAddr,
    pub(crate) dir: Option<TempDir>,
    pub(crate) listen: SocketAddr,
    pub(crate) plan: Arc<Mutex<Plan>>,
    started: Option<Started>,
}

pub(crate) fn openai(name: &'static str, channel: &Channel) -> Way {
    way(name, Dialect::OpenaiChat, channel)
}

pub(crate) fn anthropic(name: &'static str, channel: &Channel) -> Way {
    way(name, Dialect::AnthropicMessages, channel)
}

pub(crate) fn way(name: &'static str, dialect: Dialect, channel: &Channel) -> Way {
    Way {
        address: channel.address().to_string(),
        ca: None,
        components: vec!["cloud:north"],
        dialect,
        limits: Limits::default(),
        models: vec![MODEL],
        name,
        quota: None,
        tls: false,
    }
}

/// What the channel `name` calls the house's model.
pub(crate) fn far_name(name: &str) -> String {
    format!("{name}/{MODEL}")
}

/// Key `number` in full.
pub(crate) fn key(number: u8) -> String {
    if number > 100 {
        Token::admin(&[number; 32]).expose().to_owned()
    } else {
        Token::party(&[number; 32]).expose().to_owned()
    }
}

impl Plan {
    pub(crate) fn new(ways: Vec<Way>) -> Self {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            aliases: Vec::new(),
            broken: None,
            identity: IdentitySettings::default(),
            gateway: GatewaySettings {
                admin: here,
                drain_ms: 2_000,
                ledger: LedgerSettings {
                    origin: "tieline.example/it".into(),
                    ..LedgerSettings::default()
                },
                listen: here,
                ..GatewaySettings::default()
            },
            keys: Vec::new(),
            licences: Vec::new(),
            models: vec![MODEL],
            packs: vec![demo_pack()],
            pool: None,
            pool_limits: Limits::default(),
            // The channels of a model are asked as they stand, so that a test knows which comes first.
            settings: Settings {
                choice: tieline_core::grid::Choice::InOrder,
                ..Settings::default()
            },
            signers: None,
            statement_keys: Vec::new(),
            watched: Vec::new(),
            ways,
        }
    }

    pub(crate) fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub(crate) fn gateway(mut self, change: impl FnOnce(&mut GatewaySettings)) -> Self {
        change(&mut self.gateway);
        self
    }

    pub(crate) fn key(mut self, number: u8, limits: Limits) -> Self {
        self.keys.push((number, limits));
        self
    }

    pub(crate) async fn start(self) -> House {
        let dir = tempfile::tempdir().unwrap();
        furnish(dir.path(), &self.keys);
        for licence in &self.licences {
            State::open(dir.path()).unwrap().put_licence(licence).unwrap();
        }
        self.start_in(dir).await.unwrap()
    }

    /// Start in a folder that has its keys.
    pub(crate) async fn start_in(self, dir: TempDir) -> Result<House, StartError> {
        let watched = self.watched.clone();
        let plan = Arc::new(Mutex::new(self));
        let for_load = plan.clone();
        let lock = take_lock(dir.path()).await;
        adopt(dir.path(), &plan.lock().unwrap().packs);
        let gateway = Gateway {
            children: None,
            dir: dir.path().to_owned(),
            load: Box::new(move || for_load.lock().unwrap().load()),
            lock,
            watched,
        };
        let started = gateway.start().await?;
        Ok(House {
            admin: started.admin,
            dir: Some(dir),
            listen: started.listen,
            plan,
            started: Some(started),
        })
    }

    fn load(&self) -> Result<Loaded, String> {
        if let Some(why) = &self.broken {
            return Err(why.clone());
        }
        Ok(Loaded {
            // In another order than the grid's, which no one promised.
            channels: self.ways.iter().rev().map(Way::wiring).collect(),
            end_uses: vec!["research".into(), "translation".into()],
            enforce: vec![Status::Company],
            grid: Arc::new(self.grid()),
            identity: Identity::new(self.identity.clone())?,
            packs: self.packs.clone(),
            settings: self.gateway.clone(),
            signers: self.signers.clone(),
            statement_keys: self.statement_keys.clone(),
        })
    }

    fn grid(&self) -> GridRecord {
        GridRecord {
            channels: self.ways.iter().map(Way::record).collect(),
            components: [("region:north/1".into(), vec!["cloud:north".into()])].into(),
            labs: vec![LabRecord {
                jurisdiction: Some("US".into()),
                name: "lab-a".into(),
            }],
            models: self.models.iter().map(|name| model(name)).collect(),
            pools: std::iter::once((POOL, self.models.clone()))
                .chain(self.aliases.clone())
                .map(|(name, models)| PoolRecord {
                    limits: if name == POOL {
                        self.pool_limits
                    } else {
                        Limits::default()
                    },
                    models: models.into_iter().map(Arc::from).collect(),
                    name: name.into(),
                    settings: self.pool.unwrap_or(self.settings),
                })
                .collect(),
            settings: self.settings,
            prices: std::collections::BTreeMap::new(),
            t: GRID_V1.into(),
        }
    }
}

fn model(name: &str) -> ModelRecord {
    ModelRecord {
        lab: "lab-a".into(),
        name: name.into(),
        weights: Weights::Open,
        ..ModelRecord::default()
    }
}

impl Way {
    pub(crate) fn models(mut self, models: &[&'static str]) -> Self {
        self.models = models.to_vec();
        self
    }

    fn provider(&self) -> Provider {
        match self.dialect {
            Dialect::OpenaiChat => Provider::OpenaiCompatible,
            Dialect::AnthropicMessages => Provider::AnthropicCompatible,
        }
    }

    fn wiring(&self) -> ChannelWiring {
        ChannelWiring {
            ca: self.ca.clone(),
            connections_max: 64,
            dialect: self.dialect,
            endpoint: Endpoint {
                authority: self.address.clone(),
                base: String::new(),
                tls: self.tls,
            },
            is_carried: true,
            name: self.name.into(),
            provider: self.provider(),
            secret: Some(Secret::new(CREDENTIAL.into())),
        }
    }

    fn record(&self) -> ChannelRecord {
        let served = |model: &&str| ServedRecord {
            price_list: None,
            model: (*model).into(),
            name: format!("{}/{model}", self.name).into(),
            price: Some(Price {
                input: "1.00".parse().unwrap(),
                output: "2.00".parse().unwrap(),
                ..Price::default()
            }),
            version: None,
        };
        ChannelRecord {
            components: self.components.iter().map(|name| Arc::from(*name)).collect(),
            dialect: self.dialect,
            limits: self.limits,
            media_tokens_max: None,
            quota: self.quota,
            models: self.models.iter().map(served).collect(),
            name: self.name.into(),
            provider: self.provider().name().into(),
            region: None,
            operator_jurisdiction: None,
            region_country: None,
        }
    }
}

/// A lock that a gateway of this process held is given back when its last task ends.
async fn take_lock(dir: &Path) -> Lock {
    let taken = async {
        loop {
            match Lock::take(dir) {
                Ok(lock) => return lock,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(LIMIT, taken)
        .await
        .expect("the lock is free")
}

/// An enterprise, and where it is if that is known.
pub(crate) fn party(id: &str, country: Option<&str>) -> PartyRow {
    let piece = |value: serde_json::Value| serde_json::json!({ "issuer": "registrar", "kind": "registration", "obtained": 1, "value": value });
    let mut evidence = vec![piece(serde_json::json!({ "class": "enterprise" }))];
    evidence.extend(country.map(|country| piece(serde_json::json!({ "jurisdiction": country }))));
    let record = serde_json::json!({ "evidence": evidence, "id": id, "kind": "organisation" });
    PartyRow {
        name: format!("The name of {id}"),
        record: serde_json::from_value(record).unwrap(),
    }
}

/// Parties and keys.
/// An officer adopts packs: only then may they enforce.
pub(crate) fn adopt(dir: &Path, packs: &[Pack]) {
    let state = State::open(dir).unwrap();
    for pack in packs {
        let row = AdoptionRow {
            adopted_us: 1,
            digest: pack.digest(),
            entity: "Example GmbH".into(),
            officer: "An officer".into(),
            pack: pack.manifest().id.to_string(),
        };
        state.put_adoption(&row).unwrap();
    }
}

fn furnish(dir: &Path, more: &[(u8, Limits)]) {
    let state = State::open(dir).unwrap();
    for (id, country) in [("p_1", Some("DE")), ("p_2", Some("BY")), ("p_3", None)] {
        state.put_party(&party(id, country)).unwrap();
    }
    let keys = [
        (ALLOWED, "p_1", None, None),
        (DENIED, "p_2", None, None),
        (HELD, "p_3", None, None),
        (REVOKED, "p_1", None, Some(2)),
        (SCOPED, "p_1", Some(vec!["m2".to_owned()]), None),
    ];
    let row = |number: u8, party: &str, limits| KeyRow {
        created_us: 1,
        digest: Token::party(&[number; 32]).digest,
        id: format!("k_{number}"),
        limits,
        party: party.into(),
        revoked_us: None,
        scope: None,
    };
    for (number, party, scope, revoked_us) in keys {
        let key = KeyRow {
            revoked_us,
            scope,
            ..row(number, party, Limits::default())
        };
        state.put_key(&key).unwrap();
    }
    for (number, limits) in more {
        state.put_key(&row(*number, "p_1", *limits)).unwrap();
    }
    for (number, role) in ROLES {
        state
            .put_admin_key(&AdminKeyRow {
                digest: Token::admin(&[number; 32]).digest,
                id: format!("a_{role}"),
                name: format!("The {role}"),
                revoked_us: None,
                role: role.into(),
            })
            .unwrap();
    }
}

/// The pack that ships: everyone whose jurisdiction is known, but for a few places.
pub(crate) fn demo_pack() -> Pack {
    pack(
        include_str!("../../../../packs/demo/pack.toml"),
        include_str!("../../../../packs/demo/rules.cedar"),
    )
}

/// The same pack for those with a licence only.
pub(crate) fn licensed_pack() -> Pack {
    let rules = include_str!("../../../../packs/demo/rules.cedar");
    let licensed = rules.replace(
        "permit (principal, action == Action::\"call\", resource);",
        "permit (principal, action == Action::\"call\", resource)\nwhen { principal.licences.contains(\"trial\") };",
    );
    assert_ne!(rules, licensed);
    pack(include_str!("../../../../packs/demo/pack.toml"), &licensed)
}

/// The same pack, which holds whoever is not asserted to be a US person.
pub(crate) fn class_pack() -> Pack {
    let rules = format!(
        "{}\n@id(\"class-unknown\")\n@title(\"Class\")\n@citation(\"none\")\n@reason(\"The class of the person is not known.\")\n\
         @remedy(\"Send a token.\")\n@effect(\"hold\")\nforbid (principal, action, resource)\n\
         unless {{ principal has person_class && principal.person_class.contains(\"us_person\") }};\n",
        include_str!("../../../../packs/demo/rules.cedar")
    );
    pack(include_str!("../../../../packs/demo/pack.toml"), &rules)
}

/// The same pack without the one rule that permits anything.
pub(crate) fn strict_pack() -> Pack {
    let rules = include_str!("../../../../packs/demo/rules.cedar");
    let closed = rules.replace(
        "permit (principal, action == Action::\"call\", resource);",
        "permit (principal, action == Action::\"call\", resource)\nwhen { principal.statements.contains(\"nobody\") };",
    );
    assert_ne!(rules, closed);
    pack(include_str!("../../../../packs/demo/pack.toml"), &closed)
}

fn pack(manifest: &str, rules: &str) -> Pack {
    let source = |path: &str, text: &str| Source {
        path: path.into(),
        text: text.into(),
    };
    Pack::parse(&[source("pack.toml", manifest), source("rules.cedar", rules)]).unwrap()
}

impl House {
    pub(crate) fn path(&self) -> &Path {
        self.dir.as_ref().unwrap().path()
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, ask: Ask) -> Reply {
        let mut caller = Caller::connect(self.listen).await;
        caller.send(&ask).await;
        caller.reply().await
    }

    /// One request of the admin listener with the key of `number`.
    pub(crate) async fn admin(&self, number: u8, method: &str, path: &str, body: &str) -> Reply {
        let ask = Ask::new(method, path, body);
        let ask = if body.is_empty() {
            ask
        } else {
            ask.header("content-type", "application/json")
        };
        self.admin_ask(number, ask).await
    }

    /// A POST of another media type.
    pub(crate) async fn admin_as(&self, number: u8, path: &str, media_type: &str, body: &str) -> Reply {
        let ask = Ask::new("POST", path, body).header("content-type", media_type);
        self.admin_ask(number, ask).await
    }

    async fn admin_ask(&self, number: u8, ask: Ask) -> Reply {
        let mut caller = Caller::connect(self.admin).await;
        let ask = ask.header("authorization", &format!("Bearer {}", key(number)));
        caller.send(&ask.header("connection", "close")).await;
        caller.reply().await
    }

    pub(crate) async fn cut(&self, name: &str) -> Reply {
        let body = format!(r#"{{"name":"{name}"}}"#);
        self.admin(OPERATOR, "POST", "/admin/v1/cut", &body).await
    }

    pub(crate) async fn restore(&self, name: &str) -> Reply {
        let body = format!(r#"{{"name":"{name}"}}"#);
        self.admin(OPERATOR, "POST", "/admin/v1/restore", &body).await
    }

    pub(crate) async fn status(&self) -> Value {
        self.admin(READER, "GET", "/admin/v1/status", "").await.json()
    }

    /// Change the configuration and read it again.
    pub(crate) fn reload(&self, change: impl FnOnce(&mut Plan)) -> Result<(), String> {
        self.reload_unadopted(|plan| {
            change(plan);
            adopt(self.path(), &plan.packs);
        })
    }

    /// The same without an officer who adopts the packs.
    pub(crate) fn reload_unadopted(&self, change: impl FnOnce(&mut Plan)) -> Result<(), String> {
        change(&mut self.plan.lock().unwrap());
        let started = self.started.as_ref().unwrap();
        tokio::task::block_in_place(|| started.reload())
    }

    /// Wait until the status fits.
    pub(crate) async fn wait_status(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let until = tokio::time::Instant::now() + LIMIT;
        loop {
            let status = self.status().await;
            if fits(&status) {
                return status;
            }
            assert!(tokio::time::Instant::now() < until, "{what}: {status}");
            tokio::task::yield_now().await;
        }
    }

    /// Wait until no call and no attempt is in flight.
    pub(crate) async fn quiet(&self) {
        self.wait_status("loads return to zero", |status| {
            let channels = status["channels"].as_array().unwrap();
            status["calls_in_flight"] == 0 && channels.iter().all(|channel| channel["in_flight"] == 0)
        })
        .await;
    }

    /// Wait for quiet, stop, and audit the ledger.
    pub(crate) async fn stop(self) -> Book {
        self.quiet().await;
        self.stop_now().await
    }

    /// Stop whatever is in flight, and audit the ledger.
    pub(crate) async fn stop_now(mut self) -> Book {
        let stopping = self.started.take().unwrap().stop();
        tokio::time::timeout(LIMIT, stopping)
            .await
            .expect("a stop ends")
            .unwrap();
        let book = Book::read(self.dir.take().unwrap());
        book.audit();
        book
    }

    /// The gateway itself, for tests that end it their own way.
    pub(crate) fn take_started(&mut self) -> Started {
        self.started.take().unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let is_audited = self.started.is_none() || std::thread::panicking();
        assert!(is_audited, "a test ends with `stop`, which audits the ledger");
    }
}
