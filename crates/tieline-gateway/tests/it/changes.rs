//! A change of what is permitted that fails between any two of its steps: the ledger, the state file and what is in force
//! agree, at the latest at the next start, and the ledger says so.

use rusqlite::Connection;
use serde_json::{Value, json};
use tieline_core::Dialect::OpenaiChat;
use tieline_testkit::{Auto, Channel};

use crate::caller::{Ask, Reply};
use crate::directives::{GERMANS, letter, revocation, signed};
use crate::house::{self, ALLOWED, AUDITOR, HELD, House, OFFICER, OPERATOR, Plan};
use crate::ledger::Book;
use crate::terms::{LICENCES, STATEMENTS, licence, statement};

const UNDONE: &str = "tieline/undone/v1";

/// A request of the admin listener.
#[derive(Clone, Debug)]
struct Told {
    body: Value,
    path: &'static str,
}

/// A change, what goes before it, and what it writes.
struct Case {
    before: Vec<Told>,
    change: Told,
    pack: tieline_policy::Pack,
    /// The table of the state file, and the statement that changes it.
    table: (&'static str, &'static str),
    /// The type of its entry.
    told: &'static str,
}

/// Between which steps a change fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It cannot be begun.
    Begin,
    /// It is begun, and cannot be written.
    Write,
    /// It is told, and the transaction cannot be committed.
    Commit,
    /// And after that nothing can be written at all until the next start.
    CommitAndAfter,
}

const FAULTS: [Fault; 4] = [Fault::Begin, Fault::Write, Fault::Commit, Fault::CommitAndAfter];

fn post(path: &'static str, body: Value) -> Told {
    Told { body, path }
}

fn order(text: &str) -> Told {
    post("/admin/v1/directives", json!({ "note": signed(text) }))
}

fn text(path: &'static str, text: &str) -> Told {
    post(path, json!({ "text": text }))
}

const OPERATOR_V1: &str = "tieline/operator/v1";

fn case(before: Vec<Told>, change: Told, table: (&'static str, &'static str), told: &'static str) -> Case {
    Case {
        before,
        change,
        pack: house::demo_pack(),
        table,
        told,
    }
}

fn cases() -> Vec<Case> {
    let directive = "tieline/directive/v1";
    let deny = letter("us-1", 1, "finish", GERMANS);
    let hold = letter("us-1", 2, "finish", GERMANS).replace("effect = \"deny\"", "effect = \"hold\"");
    let adopted = house::strict_pack();
    let adoption = json!({
        "digest": adopted.digest().to_string(), "entity": "Another GmbH", "officer": "An officer", "pack": "demo",
    });
    let party = serde_json::to_value(house::party("p_3", Some("FR"))).unwrap();
    let licensed = |case: Case| Case {
        pack: house::licensed_pack(),
        ..case
    };
    let granted = text(LICENCES, &licence("l-1", ""));
    let revoked = |path, id: &str| post(path, json!({ "id": id }));
    vec![
        case(vec![], order(&deny), ("directive", "INSERT"), directive),
        case(
            vec![order(&deny)],
            order(&hold),
            ("directive", "INSERT"),
            directive,
        ),
        case(
            vec![order(&deny)],
            order(&revocation("us-1", 2)),
            ("directive", "UPDATE"),
            directive,
        ),
        case(
            vec![],
            post("/admin/v1/adoptions", adoption),
            ("adoption", "INSERT"),
            OPERATOR_V1,
        ),
        case(
            vec![],
            post("/admin/v1/parties", party),
            ("party", "UPDATE"),
            OPERATOR_V1,
        ),
        licensed(case(vec![], granted.clone(), ("licence", "INSERT"), OPERATOR_V1)),
        licensed(case(
            vec![granted],
            revoked("/admin/v1/licences/revoke", "l-1"),
            ("licence", "UPDATE"),
            OPERATOR_V1,
        )),
        Case {
            pack: house::strict_pack(),
            ..case(
                vec![],
                text(STATEMENTS, &statement(1)),
                ("statement", "INSERT"),
                OPERATOR_V1,
            )
        },
    ]
}

async fn tell(house: &House, told: &Told) -> Reply {
    let key = if told.path.ends_with("/revoke") {
        OPERATOR
    } else {
        OFFICER
    };
    house.admin(key, "POST", told.path, &told.body.to_string()).await
}

/// What somebody outside sees of what is in force.
async fn seen(house: &House) -> (Vec<Option<String>>, usize) {
    let mut codes = Vec::new();
    for key in [ALLOWED, HELD] {
        let reply = house.ask(Ask::plain(OpenaiChat, false).key(key)).await;
        codes.push((reply.status() != 200).then(|| reply.problem(OpenaiChat).2.unwrap_or_default()));
    }
    let list = house
        .admin(AUDITOR, "GET", "/admin/v1/adoptions", "")
        .await
        .json();
    (codes, list["adoptions"].as_array().unwrap().len())
}

/// Another process's word in the state file.
fn sql(dir: &std::path::Path, file: &str, text: &str) {
    let db = Connection::open(dir.join(file)).unwrap();
    db.busy_timeout(house::LIMIT).unwrap();
    db.execute_batch(text).unwrap();
}

fn refusing(name: &str, when: &str) -> String {
    format!("CREATE TRIGGER {name} BEFORE {when} BEGIN SELECT RAISE(ABORT, 'no room left'); END;\n")
}

/// Nothing is wrong until the transaction is to be committed.
fn breaking(name: &str, when: &str) -> String {
    format!("CREATE TRIGGER {name} AFTER {when} BEGIN INSERT INTO broken VALUES ('nobody'); END;\n")
}

fn inject(dir: &std::path::Path, fault: Fault, (table, act): (&str, &str)) {
    let broken = "CREATE TABLE broken (a TEXT REFERENCES party (id) DEFERRABLE INITIALLY DEFERRED);\n";
    let when = format!("{act} ON {table}");
    let faults = match fault {
        Fault::Begin => refusing("fault_1", "INSERT ON change"),
        Fault::Write => refusing("fault_1", &when),
        Fault::Commit => breaking("fault_1", &when),
        Fault::CommitAndAfter => breaking("fault_1", &when) + &refusing("fault_2", "UPDATE ON change"),
    };
    sql(dir, "state.db", &(broken.to_owned() + &faults));
}

const HEAL: &str = "DROP TRIGGER IF EXISTS fault_1; DROP TRIGGER IF EXISTS fault_2; DROP TABLE broken;";

fn plan(channel: &Channel, case: &Case) -> Plan {
    let mut plan = crate::directives::plan(channel);
    plan.packs = vec![case.pack.clone()];
    plan.statement_keys = vec![crate::terms::signer(1).verifier().clone()];
    plan
}

/// The entries that take something back, with those that they take back.
fn undone(book: &Book) -> Vec<(Value, Vec<Value>)> {
    let undone = book.of_type(UNDONE).into_iter();
    undone
        .map(|entry| {
            let same = book.entries.iter().filter(|other| other["id"] == entry["id"]);
            (entry.clone(), same.map(|other| other["t"].clone()).collect())
        })
        .collect()
}

async fn fails(case: &Case, fault: Fault) {
    let channel = Channel::start(Auto::default()).unwrap();
    let plan = plan(&channel, case);
    let house = plan.clone().start().await;
    for told in &case.before {
        assert_eq!(tell(&house, told).await.status(), 200);
    }
    let before = seen(&house).await;
    inject(house.path(), fault, case.table);
    let failed = tell(&house, &case.change).await;
    assert!(
        failed.status() >= 500,
        "{fault:?} {}: {}",
        failed.status(),
        failed.text()
    );
    assert_eq!(seen(&house).await, before, "{fault:?} {:?}", case.change);
    sql(house.path(), "state.db", HEAL);
    let book = house.stop().await;
    let in_ledger = book.of_type(case.told).len();
    // After the next start it is as it was, and the ledger has said so.
    let house = plan.start_in(book.dir).await.unwrap();
    assert_eq!(seen(&house).await, before, "{fault:?} {:?}", case.change);
    let done = tell(&house, &case.change).await;
    assert_eq!(done.status(), 200, "{fault:?}: {}", done.text());
    let after = seen(&house).await;
    assert_ne!(after, before, "{:?}", case.change);
    let book = house.stop().await;
    let is_told = matches!(fault, Fault::Commit | Fault::CommitAndAfter);
    let told = case.before.len() + usize::from(is_told);
    assert_eq!(in_ledger, told, "{fault:?} {:?}", case.change);
    let taken_back = undone(&book);
    assert_eq!(
        taken_back.len(),
        usize::from(is_told),
        "{fault:?} {:?}",
        case.change
    );
    for (entry, same) in taken_back {
        assert_eq!(same, [json!(case.told), json!(UNDONE)]);
        let body = &entry["body"];
        assert!(
            body["says"].as_str().unwrap().contains("was not carried out"),
            "{entry}"
        );
        assert!(!body["why"].as_str().unwrap().is_empty());
        assert_eq!(
            body["epoch"].is_u64(),
            case.told == "tieline/directive/v1",
            "{entry}"
        );
    }
    let left = Connection::open(book.path().join("state.db")).unwrap();
    let left: i64 = left
        .query_row("SELECT COUNT(*) FROM change", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_fails_is_not_in_force_and_the_ledger_takes_back_what_it_told() {
    for case in cases() {
        for fault in FAULTS {
            fails(&case, fault).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disposition_that_fails_leaves_the_hold_open() {
    let channel = Channel::start(Auto::default()).unwrap();
    let house = Plan::new(vec![house::openai("a", &channel)]).start().await;
    let reply = house.ask(Ask::plain(OpenaiChat, false).key(HELD)).await;
    let ticket = reply.header("x-tieline-ticket").unwrap().to_owned();
    let granted = post(
        "/admin/v1/holds/dispose",
        json!({ "ticket": ticket, "grant": true, "reason": "Seen." }),
    );
    // The queue of holds is written behind.
    let is_known = async {
        loop {
            let holds = house.admin(AUDITOR, "GET", "/admin/v1/holds", "").await.json();
            if holds["holds"].as_array().is_some_and(|holds| !holds.is_empty()) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(house::LIMIT, is_known).await.unwrap();
    let said = "UPDATE OF disposition ON hold WHEN NEW.disposition IS NOT NULL";
    let broken = "CREATE TABLE broken (a TEXT REFERENCES party (id) DEFERRABLE INITIALLY DEFERRED);\n";
    sql(
        house.path(),
        "state.db",
        &(broken.to_owned() + &breaking("fault_1", said)),
    );
    let failed = tell(&house, &granted).await;
    assert!(failed.status() >= 500, "{}", failed.text());
    let code = |reply: Reply| reply.problem(OpenaiChat).2;
    let held = house.ask(Ask::plain(OpenaiChat, false).key(HELD)).await;
    assert_eq!(code(held).as_deref(), Some("held"));
    sql(house.path(), "state.db", HEAL);
    assert_eq!(tell(&house, &granted).await.status(), 200);
    let served = house.ask(Ask::plain(OpenaiChat, false).key(HELD)).await;
    assert_eq!(served.status(), 200);
    let book = house.stop().await;
    let types: Vec<Vec<Value>> = undone(&book).into_iter().map(|(_, same)| same).collect();
    assert_eq!(types, [[json!("tieline/disposition/v1"), json!(UNDONE)]]);
    assert_eq!(book.of_type("tieline/disposition/v1").len(), 2);
}

/// The folder as a crash leaves it, made from one of a process that ended well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_leaves_begun_is_settled_by_the_next_start_once() {
    let channel = Channel::start(Auto::default()).unwrap();
    let plan = crate::directives::plan(&channel);
    let house = plan.clone().start().await;
    let deny = order(&letter("us-1", 1, "finish", GERMANS));
    assert_eq!(tell(&house, &deny).await.status(), 200);
    let book = house.stop().await;
    let entry = book.of_type("tieline/directive/v1")[0];
    let (id, epoch) = (
        entry["id"].as_str().unwrap().to_owned(),
        entry["body"]["epoch"].clone(),
    );
    // Between the flush of the ledger and the commit; and another, before anything of it was told.
    let crashed = format!(
        "DELETE FROM directive; INSERT INTO change VALUES ('{id}', 5, {epoch}); INSERT INTO change VALUES ('x', 6, 7);"
    );
    sql(book.path(), "state.db", &crashed);
    let mut dir = book.dir;
    for again in [false, true] {
        let house = plan.clone().start_in(dir).await.unwrap();
        let served = house.ask(Ask::plain(OpenaiChat, false)).await;
        assert_eq!(served.status(), 200, "it is not in force");
        let book = house.stop().await;
        let taken_back = undone(&book);
        assert_eq!(taken_back.len(), 1, "{taken_back:?}");
        let (undone, same) = &taken_back[0];
        assert_eq!((&undone["id"], &undone["body"]["epoch"]), (&json!(id), &epoch));
        assert_eq!(same, &[json!("tieline/directive/v1"), json!(UNDONE)]);
        assert!(undone["body"]["why"].as_str().unwrap().contains("process ended"));
        // What is in force from then on stands behind it.
        let at = |t: &str| book.entries.iter().rposition(|entry| entry["t"] == t).unwrap();
        assert!(at("tieline/activation/v1") > at(UNDONE));
        if !again {
            // A crash between the entry that takes it back and the state file: it is taken back once.
            let row = format!("INSERT INTO change VALUES ('{id}', 5, {epoch});");
            sql(book.path(), "state.db", &row);
        }
        dir = book.dir;
    }
}

/// Nothing can be written to the ledger from here on.
fn fill(dir: &std::path::Path) {
    let file = Connection::open(dir.join("ledger.db")).unwrap();
    let tables: Vec<String> = file
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let acts = tables
        .iter()
        .flat_map(|table| ["INSERT", "UPDATE"].map(|act| (table, act)));
    let faults: Vec<String> = acts
        .map(|(table, act)| refusing(&format!("full_{table}_{act}"), &format!("{act} ON {table}")))
        .collect();
    sql(dir, "ledger.db", &faults.concat());
}

fn empty(dir: &std::path::Path) {
    let file = Connection::open(dir.join("ledger.db")).unwrap();
    let faults: Vec<String> = file
        .prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        .unwrap()
        .query_map([], |row| {
            Ok(format!("DROP TRIGGER {};\n", row.get::<_, String>(0)?))
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    sql(dir, "ledger.db", &faults.concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_ledger_that_stopped_cannot_tell_is_not_done() {
    for case in cases() {
        let channel = Channel::start(Auto::default()).unwrap();
        let plan = plan(&channel, &case);
        let mut house = plan.clone().start().await;
        for told in &case.before {
            assert_eq!(tell(&house, told).await.status(), 200);
        }
        let before = seen(&house).await;
        house.quiet().await;
        fill(house.path());
        let failed = tell(&house, &case.change).await;
        assert_eq!(failed.status(), 503, "{}", failed.text());
        assert!(failed.text().contains("ledger"), "{}", failed.text());
        assert!(house.take_started().stop().await.is_err(), "the ledger stopped");
        let dir = house.dir.take().unwrap();
        empty(dir.path());
        let house = plan.start_in(dir).await.unwrap();
        assert_eq!(seen(&house).await, before, "{:?}", case.change);
        assert_eq!(tell(&house, &case.change).await.status(), 200);
        assert_ne!(seen(&house).await, before, "{:?}", case.change);
        let book = house.stop().await;
        assert_eq!(book.of_type(UNDONE).len(), 0);
        assert_eq!(book.of_type(case.told).len(), case.before.len() + 1);
    }
}
