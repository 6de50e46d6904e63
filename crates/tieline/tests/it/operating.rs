//! `tieline cut` and `tieline restore`, with a server and without.

use crate::folder::Folder;

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
