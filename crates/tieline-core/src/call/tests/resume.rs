//! Going on with an answer that broke off, keeping its first part back, and what lanes lack.

use super::*;
use crate::feature::{Feature, FeatureSet};
use crate::grid::Resume;

const SAME_MODEL: Settings = Settings {
    resume: Resume::SameModel,
    ..DEFAULTS
};

const POOL: Settings = Settings {
    resume: Resume::Pool,
    ..DEFAULTS
};

/// What follows the release, of a call whose intake was changed.
fn after_release(settings: Settings, change: fn(&mut Intake), script: &str) -> String {
    let mut world = World::new(settings);
    change(&mut world.call.intake);
    let world = world.run(script);
    if world.call.is_over() {
        world.check_laws();
    }
    let start = world.words.iter().position(|word| word == "release").unwrap();
    world.words[start + 1..].join(" ")
}

const ANOTHER: &str = "saw-reset settle-row0-? judge-111 look ask-row1 saw-dial dial-1-row1";

#[test]
fn an_answer_that_breaks_off_is_continued_where_the_pool_wants_it() {
    let broken = "saw-reset settle-row0-? settle-key-? break-answer_cut close";
    assert_eq!(after_release(DEFAULTS, |_| {}, "content, fault reset"), broken);
    assert_eq!(
        after_release(SAME_MODEL, |_| {}, "content, fault reset"),
        format!("{ANOTHER}-instruct")
    );
    assert_eq!(
        after_release(SAME_MODEL, |i| i.prefill = 0b010, "content, fault reset"),
        format!("{ANOTHER}-prefill")
    );
    assert_eq!(
        after_release(SAME_MODEL, |i| i.is_deterministic = true, "content, fault reset"),
        format!("{ANOTHER}-repeat")
    );
    // Known to take a prefill is better than known to repeat.
    let both = |i: &mut Intake| (i.is_deterministic, i.prefill) = (true, 0b111);
    assert_eq!(
        after_release(SAME_MODEL, both, "content, cut"),
        format!("{ANOTHER}-prefill")
    );
}

#[test]
fn a_continued_answer_is_served_and_both_parts_are_counted() {
    let mut world = World::new(SAME_MODEL);
    world.call.intake.prefill = 0b111;
    let world = world.run("content 3, usage 4, fault reset, opened, content, usage 7, stop, end");
    world.check_laws();
    let outcome = world.outcome();
    assert_eq!(outcome.result, Outcome::Served);
    assert_eq!(outcome.usage, Some(used(4).plus(&used(7))));
    let resumes: Vec<_> = outcome.attempts.iter().map(|attempt| attempt.resumes).collect();
    assert_eq!(resumes, [None, Some(Method::Prefill)]);
    let first = world.call.answered_by().unwrap();
    assert_eq!(&*world.call.snapshot().channel(first.channel).unwrap().name, "a");
    assert!(
        world.words.contains(&"settle-key-31".to_owned()),
        "{:?}",
        world.words
    );
    // Of which one part is unknown, the whole is.
    let unknown = World::new(SAME_MODEL).run("content, fault reset, content, usage 7, stop, end");
    assert_eq!(unknown.outcome().usage, None);
    unknown.check_laws();
}

#[test]
fn what_is_more_than_text_is_never_continued() {
    for script in [
        "tool, fault reset",
        "content, tool, fault reset",
        "thinking, content, fault reset",
    ] {
        let end = after_release(SAME_MODEL, |_| {}, script);
        assert!(end.ends_with("break-answer_cut close"), "{script}: {end}");
    }
    for feature in Feature::ALL {
        let mut world = World::new(SAME_MODEL);
        world.call.intake.features = [*feature].into_iter().collect();
        let world = world.run("content, fault reset");
        let is_over = matches!(feature, Feature::Prefill | Feature::Structured);
        assert_eq!(world.call.is_over(), is_over, "{feature:?}");
    }
    let mut several = World::new(SAME_MODEL);
    several.call.intake.answers = 2;
    let several = several.run("content, fault reset");
    assert_eq!(several.outcome().result, Outcome::Broken);
    // What an attempt brought that nobody had bars nothing.
    let held = Settings {
        hold_ms: 500,
        ..SAME_MODEL
    };
    let mut world = World::new(held).run("thinking, fault garbage, content, wake");
    world.feed(Input::Fault(fault("reset")));
    assert!(!world.call.is_over(), "{:?}", world.words);
}

#[test]
fn another_model_goes_on_only_where_the_pool_says_so() {
    let out = |settings| {
        let mut world = World::new(settings).run("content");
        world.out[1] = true;
        let world = world.run("fault garbage");
        world.words.join(" ")
    };
    assert!(out(SAME_MODEL).ends_with("break-answer_cut close"));
    assert!(
        out(POOL).ends_with("ask-row2 saw-dial dial-1-row2-instruct"),
        "{}",
        out(POOL)
    );
    // Another model has another answer, so it is not asked to repeat.
    let mut world = World::new(POOL);
    world.call.intake.is_deterministic = true;
    let mut world = world.run("content");
    world.out[1] = true;
    let world = world.run("fault garbage");
    assert!(
        world.words.contains(&"dial-1-row2-instruct".to_owned()),
        "{:?}",
        world.words
    );
}

#[test]
fn a_refused_prefill_is_learned_and_asked_for_otherwise() {
    let mut world = World::new(SAME_MODEL);
    world.call.intake.prefill = 0b111;
    let mut world = world.run("content, fault garbage");
    let refusal = fault("incapable")
        .with_status(400)
        .with_feature(Some(Feature::Prefill));
    world.feed(Input::Fault(refusal));
    let words = world.words.join(" ");
    assert!(
        words.ends_with("saw-incapable saw-lack-prefill settle-row1-0 judge-010 look ask-row1 saw-dial dial-2-row1-instruct"),
        "{words}"
    );
    let world = world.run("content, end");
    assert_eq!(world.outcome().result, Outcome::Served);
    world.check_laws();
}

#[test]
fn a_repetition_that_differs_is_given_up_for_an_instruction() {
    let mut world = World::new(SAME_MODEL);
    world.call.intake.is_deterministic = true;
    let world = world.run("content, fault garbage, fault differs");
    assert!(
        world.words.join(" ").ends_with("dial-2-row1-instruct"),
        "{:?}",
        world.words
    );
    world.run("content, end").check_laws();
}

#[test]
fn what_is_refused_is_not_continued_elsewhere_and_attempts_have_an_end() {
    for (kind, code) in [(FaultKind::Legal, "held"), (FaultKind::Content, "answer_cut")] {
        let end = after_release(SAME_MODEL, |_| {}, &format!("content, fault {}", kind.name()));
        assert!(end.ends_with(&format!("break-{code} close")), "{end}");
    }
    // What the next channel says against the request is not the caller's fault, nor shown.
    let script = "content, fault garbage, fault client";
    let end = after_release(SAME_MODEL, |_| {}, script);
    assert!(end.ends_with("break-answer_cut close"), "{end}");
    let two = Settings {
        attempts_max: 2,
        ..SAME_MODEL
    };
    let end = after_release(two, |_| {}, "content, fault reset, content, fault reset");
    assert!(end.ends_with("break-answer_cut close"), "{end}");
    // The only channel is asked again for the rest, after its backoff.
    let mut world = World::new(SAME_MODEL).run("content");
    (world.out[1], world.out[2]) = (true, true);
    let world = world.run("fault reset, wake");
    assert!(
        world.words.contains(&"dial-1-row0-instruct".to_owned()),
        "{:?}",
        world.words
    );
    // An order binds what goes on as it binds what began.
    let end = after_release(SAME_MODEL, |_| {}, "content, fault reset, ordered deny");
    assert!(end.ends_with("break-denied close"), "{end}");
}

// === the first part ===

#[test]
fn the_first_part_is_kept_back_so_that_an_early_cut_is_not_seen() {
    let ms = Settings {
        hold_ms: 500,
        ..DEFAULTS
    };
    let tokens = Settings {
        hold_tokens: 3,
        ..DEFAULTS
    };
    for settings in [ms, tokens] {
        check(
            settings,
            "content 2, fault reset",
            "dial-0-row0 saw-content-0ms saw-reset settle-row0-? judge-111 look ask-row1 saw-dial dial-1-row1",
        );
        // A short answer leaves with its end.
        check(
            settings,
            "content 2, usage 1, end",
            "dial-0-row0 saw-content-0ms release saw-done settle-row0-11 settle-key-11 finish close",
        );
    }
    check(ms, "content 9, wait 499, content", "dial-0-row0 saw-content-0ms");
    check(ms, "content, wake", "dial-0-row0 saw-content-0ms release");
    check(
        ms,
        "content, wait 500, content",
        "dial-0-row0 saw-content-0ms release",
    );
    check(
        tokens,
        "content 2, wait 9000, content",
        "dial-0-row0 saw-content-0ms release",
    );
    let due = World::new(ms).run("content").call.deadline().unwrap();
    assert_eq!(due, (START.plus(Span::from_ms(500)), WakeFor::Release));
    // A clock that leaps over two limits at once meets both.
    check(
        ms,
        "content, wait 20000, timer",
        "dial-0-row0 saw-content-0ms release cancel-0 saw-timeout settle-row0-? settle-key-? break-answer_cut close",
    );
    // Unless the call's own is among them, after which nothing leaves.
    check(
        ms,
        "content, wait 99999, timer",
        "dial-0-row0 saw-content-0ms cancel-0 saw-leave settle-row0-? settle-key-? refuse-call_timeout close",
    );
    // Whichever comes first.
    let both = Settings { hold_tokens: 3, ..ms };
    check(both, "content 3", "dial-0-row0 saw-content-0ms release");
    check(
        both,
        "content, wake, content, end",
        "dial-0-row0 saw-content-0ms release saw-done settle-row0-? settle-key-? finish close",
    );
    let strict = Settings {
        record: RecordMode::Strict,
        ..tokens
    };
    check(strict, "durable, content 2", "dial-0-row0 saw-content-0ms");
    check(strict, "content 3", "dial-0-row0 saw-content-0ms");
    check(
        strict,
        "content 3, durable",
        "dial-0-row0 saw-content-0ms release",
    );
}

// === what lanes lack ===

#[test]
fn what_a_lane_has_refused_is_not_asked_of_it_while_another_may_take_it() {
    let dials = |lacking: &[usize], script: &str| {
        let mut world = World::new(DEFAULTS);
        world.call.intake.features = FeatureSet::EMPTY.with(Feature::Tools);
        for row in lacking {
            world.rows[*row].lacks = FeatureSet::EMPTY.with(Feature::Tools);
        }
        let mut world = world.run(script);
        let words: Vec<_> = world
            .words
            .iter()
            .filter(|w| w.starts_with("dial"))
            .cloned()
            .collect();
        if !world.call.is_over() {
            world.feed(Input::ClientGone);
        }
        world.check_laws();
        words.join(" ")
    };
    assert_eq!(dials(&[], ""), "dial-0-row0");
    assert_eq!(dials(&[0], ""), "dial-0-row1");
    assert_eq!(dials(&[0, 1], ""), "dial-0-row2");
    // Where all lack it, the caller gets the words of one.
    assert_eq!(dials(&[0, 1, 2], ""), "dial-0-row0");
    let mut world = World::new(DEFAULTS);
    world.rows[0].lacks = FeatureSet::EMPTY.with(Feature::Tools);
    assert!(
        world.run("").words.contains(&"dial-0-row0".to_owned()),
        "it is not asked for"
    );
}
