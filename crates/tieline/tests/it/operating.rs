//! `tieline cut` and `tieline restore`, with a server and without.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use tieline_testkit::fixtures;

use crate::folder::{Folder, LIMIT};

#[test]
fn cut_and_restore_while_it_serves() {
    let mut folder = Folder::new();
    let server = folder.serve();
    folder.run(&["cut", "left"]);
    server.chat().must_be(200);
    assert_eq!((folder.left.seen_count(), folder.right.seen_count()), (0, 1));
    folder.run(&["explain", "last"]);
    folder.run(&["cut", "left", "--json"]);
    folder.run(&["cut", "cloud:west"]);
    server.chat().must_be(503);
    folder.run(&["explain", "last"]);
    folder.run(&["restore", "left", "--json"]);
    server.chat().must_be(200);
    assert_eq!(folder.left.seen_count(), 1);
    folder.run(&["restore", "left"]);
    folder.run(&["restore", "cloud:west"]);
    folder.run(&["cut", "cloud:north"]);
    folder.run(&["restore", "cloud:north"]);
    folder.run(&["drill", "replay"]);
    server.stop();
    folder.check("cut_and_restore_while_it_serves");
}

#[test]
fn cut_and_restore_while_nothing_runs() {
    let mut folder = Folder::new();
    folder.run(&["cut", "left"]);
    folder.run(&["cut", "left"]);
    folder.run(&["cut", "cloud:north"]);
    folder.said.note("served from here on");
    let server = folder.serve();
    server.chat().must_be(200);
    assert_eq!((folder.left.seen_count(), folder.right.seen_count()), (0, 1));
    server.stop();
    folder.said.note("and stopped");
    folder.run(&["restore", "left", "--json"]);
    folder.run(&["restore", "left"]);
    folder.run(&["cut", "lab:acme"]);
    let server = folder.serve();
    server.chat().must_be(503);
    folder.run(&["restore", "lab:acme"]);
    server.chat().must_be(200);
    assert_eq!(folder.left.seen_count(), 1);
    folder.run(&["drill", "replay"]);
    server.stop();
    folder.check("cut_and_restore_while_nothing_runs");
}

#[test]
fn an_admin_listener_that_other_machines_reach_speaks_tls_and_commands_know_it_by_its_certificate() {
    let folder = Folder::new();
    let files = fixtures::workspace_dir().join("crates/tieline-gateway/tests/it/data");
    for name in ["server.pem", "server.key.pem"] {
        folder.write(name, &std::fs::read_to_string(files.join(name)).unwrap());
    }
    let exposed = "admin = \"0.0.0.0:0\"";
    folder.edit("tieline.toml", "admin = \"127.0.0.1:0\"", exposed);
    let refused = folder.fails(&["serve"]);
    assert!(refused.contains("without TLS"), "{refused}");
    folder.edit(
        "tieline.toml",
        exposed,
        "admin = \"0.0.0.0:0\"\ntls = { cert = \"server.pem\", key = \"server.key.pem\" }",
    );
    let server = folder.serve();
    let says: Value = serde_json::from_str(&folder.read("server.json")).unwrap();
    let admin = says["admin"].as_str().unwrap().strip_prefix("https://").unwrap();
    assert!(
        says["gateway"].as_str().unwrap().starts_with("https://"),
        "{says}"
    );
    // In clear text nobody is answered.
    let mut clear = TcpStream::connect(admin).unwrap();
    clear.set_read_timeout(Some(LIMIT)).unwrap();
    clear
        .write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = clear.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert_eq!(folder.json(&["cut", "left"])["changed"], true);
    // A server that shows another certificate is not the one of this folder.
    let own = says["admin_certificate"].as_str().unwrap();
    folder.edit("server.json", own, &"0".repeat(64));
    let stranger = folder.fails(&["cut", "right"]);
    assert!(stranger.contains("cannot reach"), "{stranger}");
    server.stop();
    // The same rule for the address of the command line.
    folder.edit(
        "tieline.toml",
        "tls = { cert = \"server.pem\", key = \"server.key.pem\" }",
        "",
    );
    folder.edit("tieline.toml", exposed, "admin = \"127.0.0.1:0\"");
    let refused = folder.fails(&["serve", "--admin", "0.0.0.0:0"]);
    assert!(refused.contains("without TLS"), "{refused}");
}
