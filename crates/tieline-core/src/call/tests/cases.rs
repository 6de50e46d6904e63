//! What a call does, case by case.

use arrayvec::ArrayVec;

use super::*;

// === a call that goes well ===

#[test]
fn a_call_is_judged_seen_reserved_recorded_and_dialled_in_this_order() {
    let world = World::new(DEFAULTS).run("");
    let expected = "judge-111 look ask-key ask-row0 record saw-dial dial-0-row0";
    assert_eq!(world.words.join(" "), expected);
}

#[test]
fn an_answer_is_released_at_its_first_content_and_settled_at_its_end() {
    check(
        DEFAULTS,
        "wait 5, opened, wait 20, content, content 3, usage 7, stop, end",
        "dial-0-row0 saw-content-25ms release saw-done settle-row0-17 settle-key-17 finish close",
    );
    check(
        DEFAULTS,
        "opened, tool, end",
        "dial-0-row0 saw-content-0ms release saw-done settle-row0-? settle-key-? finish close",
    );
    // An answer may be empty.
    check(
        DEFAULTS,
        "opened, usage 0, end",
        "dial-0-row0 release saw-done settle-row0-10 settle-key-10 finish close",
    );
}

#[test]
fn the_outcome_says_what_was_used_and_what_it_cost() {
    let world = World::new(DEFAULTS).run("opened, wait 9, content 2, wait 5, content, usage 7, stop, end");
    let outcome = world.outcome();
    assert_eq!(outcome.result, Outcome::Served);
    assert_eq!(outcome.usage, Some(used(7)));
    // 10 × 1 µUSD and 7 × 2 µUSD.
    assert_eq!(outcome.cost_nano.unwrap().0, 24_000);
    let attempt = &outcome.attempts[0];
    assert_eq!((attempt.content_events, attempt.ttft_us), (3, Some(Span(9_000))));
    assert_eq!((&*attempt.channel, &*attempt.model, attempt.epoch), ("a", "m", 4));
}

#[test]
fn a_price_that_is_not_known_is_not_zero() {
    let mut world = World::new(DEFAULTS);
    world.out = [true, true, false, false, false, false, false, false];
    let world = world.run("content, usage 7, end");
    assert_eq!(&*world.outcome().attempts[0].channel, "c");
    assert_eq!(world.outcome().cost_nano, None);
}

// === orders ===

#[test]
fn an_order_stops_the_attempt_and_what_it_does_not_name_may_serve() {
    check(
        DEFAULTS,
        "ordered deny",
        "dial-0-row0 cancel-0 saw-leave settle-row0-? judge-110 look ask-row1 saw-dial dial-1-row1",
    );
    // What has left cannot be taken back: the answer ends with why.
    check(
        DEFAULTS,
        "opened, content, usage 3, ordered deny",
        "dial-0-row0 saw-content-0ms release cancel-0 saw-leave settle-row0-13 settle-key-13 break-denied close",
    );
    check(
        DEFAULTS,
        "opened, content, ordered hold",
        "dial-0-row0 saw-content-0ms release cancel-0 saw-leave settle-row0-? settle-key-? break-held close",
    );
    // What allows is no order.
    check(DEFAULTS, "ordered allow", "dial-0-row0");
    check(
        STRICT,
        "content, end, ordered deny",
        "dial-0-row0 saw-content-0ms cancel-0 saw-leave settle-row0-? judge-110 look ask-row1 saw-dial dial-1-row1",
    );
}

#[test]
fn an_order_that_leaves_nothing_refuses_in_its_own_words() {
    let mut world = World::new(DEFAULTS);
    world.rulings[1] = Ruling::Deny;
    world.rulings[2] = Ruling::Deny;
    let world = world.run("ordered hold");
    assert_eq!(
        world.after_dial(),
        "dial-0-row0 cancel-0 saw-leave settle-row0-? judge-110 settle-key-? refuse-held close"
    );
    world.check_laws();
    let one = Settings {
        attempts_max: 1,
        ..DEFAULTS
    };
    let world = World::new(one).run("ordered deny");
    assert_eq!(world.refusal().code, Code::Denied);
    assert!(
        world.refusal().says.contains("15 CFR 744"),
        "{}",
        world.refusal().says
    );
    let outcome = world.outcome();
    assert!(outcome.attempts[0].is_ordered);
    assert_eq!(outcome.attempts[0].fault, None);
    world.check_laws();
}

// === faults ===

#[test]
fn each_fault_before_the_answer_does_what_its_kind_says() {
    for kind in FAULTS {
        let name = kind.name();
        // A channel that never answered in time may have worked all the while.
        let used = if kind == FaultKind::Timeout { "?" } else { "0" };
        let settled = format!("dial-0-row0 saw-{name} settle-row0-{used}");
        let expected = match kind {
            FaultKind::Client | FaultKind::Content | FaultKind::Context => {
                format!("{settled} settle-key-0 relay close")
            }
            FaultKind::Legal => format!("{settled} settle-key-0 refuse-held close"),
            // What passes may be asked again, so it is judged with the others.
            _ if kind.passes() => format!("{settled} judge-111 look ask-row1 saw-dial dial-1-row1"),
            _ => format!("{settled} judge-110 look ask-row1 saw-dial dial-1-row1"),
        };
        check(DEFAULTS, &format!("fault {name}"), &expected);
    }
}

#[test]
fn no_fault_after_release_fails_over() {
    for kind in FAULTS {
        let name = kind.name();
        let code = match kind {
            FaultKind::Legal => "held",
            _ => "answer_cut",
        };
        check(
            DEFAULTS,
            &format!("opened, content, usage 3, fault {name}"),
            &format!(
                "dial-0-row0 saw-content-0ms release saw-{name} settle-row0-13 settle-key-13 break-{code} close"
            ),
        );
    }
}

#[test]
fn an_answer_without_its_end_is_a_reset() {
    check(
        DEFAULTS,
        "opened, cut",
        "dial-0-row0 saw-reset settle-row0-? judge-111 look ask-row1 saw-dial dial-1-row1",
    );
    check(
        DEFAULTS,
        "content, cut",
        "dial-0-row0 saw-content-0ms release saw-reset settle-row0-? settle-key-? break-answer_cut close",
    );
}

#[test]
fn failover_goes_in_the_order_of_the_pool_and_ends_with_the_attempts() {
    let world = World::new(DEFAULTS).run("fault reset, fault overload, fault transient");
    let dials: Vec<_> = world.words.iter().filter(|w| w.starts_with("dial")).collect();
    assert_eq!(dials, ["dial-0-row0", "dial-1-row1", "dial-2-row2"]);
    assert_eq!(world.refusal().code, Code::ChannelsFailed);
    assert!(
        world.refusal().says.contains("3 attempts were made"),
        "{}",
        world.refusal().says
    );
    world.check_laws();
    let two = Settings {
        attempts_max: 2,
        ..DEFAULTS
    };
    let world = World::new(two).run("fault reset, fault overload");
    assert_eq!(world.call.attempts(), 2, "attempts_max");
    world.check_laws();
}

#[test]
fn what_all_attempts_met_names_the_problem() {
    let world = World::new(DEFAULTS).run("fault rate, fault rate, fault rate");
    assert_eq!(world.refusal().code, Code::ChannelsBusy);
    assert_eq!(world.refusal().retry, Retry::After(Span::from_s(1)));
    let world = World::new(DEFAULTS).run("fault garbage, fault garbage, fault garbage");
    assert_eq!(world.refusal().code, Code::AnswerUnreadable);
}

#[test]
fn what_no_channel_can_do_is_the_request_s_fault() {
    let world = World::new(DEFAULTS).run("fault incapable, fault incapable, fault incapable");
    assert_eq!(world.refusal().code, Code::TranslationImpossible);
    assert_eq!(world.refusal().retry, Retry::Never);
    world.check_laws();
    let world = World::new(DEFAULTS).run("fault incapable, fault reset, fault incapable");
    assert_eq!(world.refusal().code, Code::ChannelsFailed);
    // One that said so itself is relayed.
    let mut world = World::new(DEFAULTS).run("fault incapable, fault incapable");
    world.feed(Input::Fault(fault("incapable").with_status(400)));
    world.settle();
    assert!(world.after_dial().contains("relay"), "{}", world.after_dial());
    world.check_laws();
}

#[test]
fn an_attempt_that_failed_empty_costs_nothing() {
    let world = World::new(DEFAULTS).run("usage 3, fault transient, content, usage 1, end");
    let outcome = world.outcome();
    assert_eq!(outcome.attempts[0].cost_nano.unwrap().0, 0);
    assert_eq!(outcome.cost_nano.unwrap().0, 12_000);
    world.check_laws();
}

#[test]
fn each_attempt_is_judged_anew() {
    let mut world = World::new(DEFAULTS).run("");
    world.rulings[1] = Ruling::Deny;
    let world = world.run("fault reset, content, end");
    assert!(
        world
            .after_dial()
            .contains("judge-111 look ask-row2 saw-dial dial-1-row2")
    );
    world.check_laws();
}

// === timers ===

#[test]
fn every_wait_has_its_own_limit() {
    let due = |script: &str| {
        let world = World::new(DEFAULTS).run(script);
        world
            .call
            .deadline()
            .map(|(at, why)| (at.since(START).0 / 1_000, why))
            .unwrap()
    };
    assert_eq!(due(""), (10_000, WakeFor::Head));
    assert_eq!(due("opened"), (20_000, WakeFor::FirstContent));
    assert_eq!(
        due("opened, wait 19000, usage 1"),
        (20_000, WakeFor::FirstContent)
    );
    assert_eq!(due("opened, wait 1000, content"), (16_000, WakeFor::Idle));
    assert_eq!(due("opened, content, wait 1000, tool"), (16_000, WakeFor::Idle));
    let long = "content, wait 14000, content, wait 14000, content, wait 14000, content, wait 4000, content";
    assert_eq!(due(long), (60_000, WakeFor::CallLimit));
    let headless = Settings {
        head_ms: 30_000,
        ..DEFAULTS
    };
    let world = World::new(headless).run("");
    assert_eq!(world.call.deadline().unwrap().1, WakeFor::FirstContent);
}

#[test]
fn a_wait_that_is_over_fails_the_attempt() {
    for script in ["wake", "opened, wake"] {
        check(
            DEFAULTS,
            script,
            "dial-0-row0 cancel-0 saw-timeout settle-row0-? judge-110 look ask-row1 saw-dial dial-1-row1",
        );
    }
    check(
        DEFAULTS,
        "content, wake",
        "dial-0-row0 saw-content-0ms release cancel-0 saw-timeout settle-row0-? settle-key-? break-answer_cut close",
    );
    check(DEFAULTS, "wait 9999, timer", "dial-0-row0");
}

#[test]
fn the_calls_own_limit_blames_no_channel() {
    let short = Settings {
        call_ms: 5_000,
        ..DEFAULTS
    };
    check(
        short,
        "wake",
        "dial-0-row0 cancel-0 saw-leave settle-row0-? settle-key-? refuse-call_timeout close",
    );
    check(
        short,
        "content, wake",
        "dial-0-row0 saw-content-0ms release cancel-0 saw-leave settle-row0-? settle-key-? break-call_timeout close",
    );
    // Nor does it where another limit passed before it and nobody looked.
    check(
        DEFAULTS,
        "content, wait 60000, timer",
        "dial-0-row0 saw-content-0ms release cancel-0 saw-leave settle-row0-? settle-key-? break-call_timeout close",
    );
    check(
        DEFAULTS,
        "wait 60000, timer",
        "dial-0-row0 cancel-0 saw-leave settle-row0-? settle-key-? refuse-call_timeout close",
    );
}

#[test]
fn progress_that_changes_no_sum_still_counts_as_progress_in_the_record() {
    // Without the last tool mark in the record, a replay would see the idle limit pass before the call's.
    let world = World::new(DEFAULTS)
        .run("content, wait 14000, tool, wait 14000, tool, wait 14000, tool, wait 10000, tool, wake");
    assert_eq!(world.refusal().code, Code::CallTimeout);
    world.check_laws();
}

#[test]
fn any_number_of_marks_leaves_a_handful_of_steps() {
    let many: Vec<_> = (0..200)
        .map(|n| format!("wait 1, content, usage {n}, stop"))
        .collect();
    let many = many.join(", ");
    let world = World::new(DEFAULTS).run(&format!("opened, {many}, end"));
    assert_eq!(world.outcome().usage, Some(used(199)));
    assert_eq!(world.outcome().attempts[0].content_events, 200);
    assert_eq!(
        world.outcome().inputs.len(),
        7,
        "recorded, opened, content, content, usage, stop, end"
    );
    world.check_laws();
}

#[test]
fn losses_are_kept_once_and_within_their_bound() {
    let loss = |path: String| Loss {
        path: path.into(),
        why: "dropped: not known".into(),
    };
    let many: Arc<[Loss]> = (0..400)
        .map(|n| loss(format!("messages[{n}].{}", "k".repeat(64))))
        .collect();
    let mut world = World::new(DEFAULTS).run("");
    for _ in 0..2 {
        world.feed(Input::Loss(many.clone()));
        world.settle();
    }
    let world = world.run("fault reset");
    let kept = world.call.losses.len();
    assert!((10..400).contains(&kept), "{kept}");
    assert_eq!(world.call.losses, many[..kept], "the first ones, once each");
}

// === the caller goes away ===

#[test]
fn a_caller_who_leaves_ends_the_call_wherever_it_is() {
    check(
        DEFAULTS,
        "gone",
        "dial-0-row0 cancel-0 saw-leave settle-row0-? settle-key-? close",
    );
    check(
        DEFAULTS,
        "content, usage 2, gone",
        "dial-0-row0 saw-content-0ms release cancel-0 saw-leave settle-row0-12 settle-key-12 close",
    );
    let stages = [
        (0, "judge-111"),
        (1, "judge-111 look"),
        (2, "judge-111 look ask-key settle-key-0"),
        (3, "judge-111 look ask-key ask-row0 settle-key-0 settle-row0-0"),
        (
            4,
            "judge-111 look ask-key ask-row0 record settle-row0-0 settle-key-0 close",
        ),
        (
            5,
            "judge-111 look ask-key ask-row0 record saw-dial dial-0-row0 cancel-0 saw-leave settle-row0-? settle-key-? close",
        ),
    ];
    for (answered, expected) in stages {
        let mut world = World::new(DEFAULTS);
        world.slow = true;
        world.settle();
        for _ in 0..answered {
            let answer = world.answers.pop_front().unwrap();
            world.feed(answer);
        }
        world.feed(Input::ClientGone);
        world.slow = false;
        world.settle();
        assert_eq!(world.words.join(" "), expected, "{answered} answers");
        world.check_laws();
    }
}

#[test]
fn a_caller_who_leaves_while_a_full_ledger_is_asked_leaves_no_outcome() {
    let mut world = World::new(DEFAULTS);
    world.ledger_takes = false;
    world.slow = true;
    world.settle();
    for _ in 0..4 {
        let answer = world.answers.pop_front().unwrap();
        world.feed(answer);
    }
    world.feed(Input::ClientGone);
    world.slow = false;
    world.settle();
    assert_eq!(world.count(|e| matches!(e, Effect::Close)), 0);
    world.check_reservations();
}

// === the record ===

#[test]
fn strict_refuses_at_once_what_will_never_be_durable() {
    check(
        STRICT,
        "lost",
        "dial-0-row0 cancel-0 saw-leave settle-row0-? settle-key-? refuse-ledger_full close",
    );
    check(
        STRICT,
        "opened, content, usage 1, lost, durable, content",
        "dial-0-row0 saw-content-0ms cancel-0 saw-leave settle-row0-11 settle-key-11 refuse-ledger_full close",
    );
    check(
        STRICT,
        "content, usage 1, end, lost",
        "dial-0-row0 saw-content-0ms cancel-0 saw-leave settle-row0-11 settle-key-11 refuse-ledger_full close",
    );
    // What is durable stays so, and what nobody asked to be durable serves all the same.
    check(
        STRICT,
        "durable, lost, content",
        "dial-0-row0 saw-content-0ms release",
    );
    check(DEFAULTS, "lost, content", "dial-0-row0 saw-content-0ms release");
    let world = World::new(STRICT).run("fault transient, lost");
    assert_eq!(world.refusal().retry, Retry::After(Span::from_s(1)));
    world.check_laws();
}

#[test]
fn strict_releases_nothing_before_the_decision_is_durable() {
    check(STRICT, "content", "dial-0-row0 saw-content-0ms");
    check(STRICT, "content, durable", "dial-0-row0 saw-content-0ms release");
    check(STRICT, "durable, content", "dial-0-row0 saw-content-0ms release");
    check(
        STRICT,
        "content, fault reset, durable, content, end",
        "dial-0-row0 saw-content-0ms saw-reset settle-row0-? judge-111 look ask-row1 saw-dial dial-1-row1 \
         saw-content-0ms release saw-done settle-row1-? settle-key-? finish close",
    );
}

#[test]
fn strict_keeps_a_whole_answer_until_the_decision_is_durable() {
    check(STRICT, "content, end", "dial-0-row0 saw-content-0ms");
    // What the connection does after the end does not matter, nor does the idle limit.
    check(
        STRICT,
        "content, usage 1, end, fault reset, cut, content, wait 30000, timer, durable, durable",
        "dial-0-row0 saw-content-0ms release saw-done settle-row0-11 settle-key-11 finish close",
    );
    check(
        STRICT,
        "content, usage 1, end, wake",
        "dial-0-row0 saw-content-0ms cancel-0 saw-leave settle-row0-11 settle-key-11 refuse-call_timeout close",
    );
}

#[test]
fn a_ledger_that_refuses_serves_nobody() {
    let mut world = World::new(DEFAULTS);
    world.ledger_takes = false;
    let world = world.run("content, end");
    assert_eq!(
        world.words.join(" "),
        "judge-111 look ask-key ask-row0 record settle-row0-0 settle-key-0 refuse-ledger_full"
    );
    assert_eq!(world.refusal().retry, Retry::After(Span::from_s(1)));
    world.check_laws();
}

#[test]
fn the_dial_is_timed_from_when_the_ledger_took_the_decision() {
    let mut world = World::new(DEFAULTS);
    world.slow = true;
    world.settle();
    for _ in 0..5 {
        world.now = world.now.plus(Span::from_ms(3));
        let answer = world.answers.pop_front().unwrap();
        world.feed(answer);
    }
    world.slow = false;
    let world = world.run("content, end");
    assert_eq!(
        world.decision.as_ref().unwrap().at.since(START),
        Span::from_ms(12)
    );
    assert_eq!(
        world.outcome().attempts[0].dialled_at.since(START),
        Span::from_ms(15)
    );
    world.check_laws();
}

// === who may not be tried ===

#[test]
fn a_refusal_at_admission_says_why_and_is_recorded() {
    let cases: [(Ask, Scope, Code); 5] = [
        (Ask::Unreadable(Code::BodyNotJson), Scope::All, Code::BodyNotJson),
        (Ask::Unknown(Some("gpt-9".into())), Scope::All, Code::PoolUnknown),
        (Ask::Unknown(None), Scope::All, Code::PoolUnknown),
        (
            Ask::Pool(crate::PoolIx(0)),
            Scope::Names(Arc::new(["other".into()])),
            Code::PoolForbidden,
        ),
        (
            Ask::Model(crate::ModelIx(0)),
            Scope::Names(Arc::new(["p".into()])),
            Code::PoolForbidden,
        ),
    ];
    for (ask, scope, code) in cases {
        let world = World::asking(DEFAULTS, ask, scope).run("");
        assert_eq!(
            world.words.join(" "),
            format!("record refuse-{} close", code.name())
        );
        assert_eq!(world.decision.as_ref().unwrap().code, Some(code));
        world.check_laws();
    }
}

#[test]
fn a_hold_outranks_a_deny_when_nothing_is_allowed() {
    let check = |rulings: [Ruling; 3], code: Code| {
        let mut world = World::new(DEFAULTS);
        world.rulings[..3].copy_from_slice(&rulings);
        let world = world.run("");
        assert_eq!(world.refusal().code, code);
        assert_eq!(world.refusal().says, "It is so (rule pack/rule; 15 CFR 744)");
        assert_eq!(
            world.words.join(" "),
            format!("judge-111 record refuse-{} close", code.name())
        );
        world.check_laws();
    };
    check([Ruling::Deny, Ruling::Hold, Ruling::Deny], Code::Held);
    check([Ruling::Deny; 3], Code::Denied);
    check([Ruling::Hold; 3], Code::Held);
}

#[test]
fn the_first_that_may_serve_is_chosen_and_the_plan_says_why_not_the_others() {
    let whys = |world: &World| -> Vec<Why> {
        world
            .decision
            .as_ref()
            .unwrap()
            .plan
            .iter()
            .map(|row| row.why)
            .collect()
    };
    let mut world = World::new(DEFAULTS);
    world.rulings[0] = Ruling::Hold;
    world.health[1] = Health::Open;
    let world = world.run("content, end");
    assert_eq!(whys(&world), [Why::Held, Why::Open, Why::Chosen]);
    world.check_laws();

    let mut world = World::new(DEFAULTS);
    world.out[0] = true;
    world.channel_limits[1] = Some(limited(Bucket::Concurrency, None));
    let world = world.run("content, end");
    assert_eq!(whys(&world), [Why::Out, Why::Limited, Why::Chosen]);
    world.check_laws();

    let world = World::new(DEFAULTS).run("content, end");
    assert_eq!(whys(&world), [Why::Chosen, Why::Standby, Why::Standby]);
}

#[test]
fn panic_ignores_breakers_but_never_verdicts_or_cuts() {
    let mut world = World::new(DEFAULTS);
    world.health = [Health::Ailing; ROWS_MAX];
    world.rulings[0] = Ruling::Deny;
    world.out[1] = true;
    let world = world.run("fault garbage");
    assert!(world.words.contains(&"dial-0-row2".to_owned()));
    assert_eq!(world.call.attempts(), 1, "nothing else is left");
    world.check_laws();

    let mut world = World::new(DEFAULTS);
    world.rulings = [Ruling::Deny; ROWS_MAX];
    world.rulings[0] = Ruling::Allow;
    world.out[0] = true;
    let world = world.run("");
    assert_eq!(world.refusal().code, Code::NoChannel);
    assert_eq!(world.count(|e| matches!(e, Effect::ReserveKey { .. })), 0);
    world.check_laws();
}

#[test]
fn a_verdict_that_did_not_come_is_no_allow() {
    let mut call = World::new(DEFAULTS).call;
    while call.poll().is_some() {}
    call.handle(Input::Verdicts(ArrayVec::new()), START);
    assert_eq!(call.poll(), Some(Effect::Record { strict: false }));
    assert!(matches!(call.ending(), Some(Ending::Refused(_))));
}

#[test]
fn what_is_held_is_the_way_out_when_what_is_allowed_is_cut() {
    let mut world = World::new(DEFAULTS);
    world.out[0] = true;
    world.rulings[1] = Ruling::Hold;
    world.rulings[2] = Ruling::Deny;
    let world = world.run("");
    assert_eq!(world.refusal().code, Code::Held);
    world.check_laws();
}

#[test]
fn an_answer_in_one_piece_has_one_limit() {
    let mut world = World::new(DEFAULTS);
    world.call.intake.stream = false;
    let world = world.run("");
    let (at, why) = world.call.deadline().unwrap();
    assert_eq!((at.since(START), why), (Span::from_s(30), WakeFor::Whole));
    let world = world.run("opened, content, wait 29000, content");
    assert_eq!(
        world.call.deadline().unwrap().1,
        WakeFor::Whole,
        "no idle limit runs"
    );
}

// === limits ===

#[test]
fn a_key_at_its_limit_is_told_which_and_for_how_long() {
    let free_at = START.plus(Span::from_s(7));
    let after = Retry::After(Span::from_s(7));
    let cases = [
        (Bucket::Concurrency, None, Code::ConcurrencyLimit, Retry::Free),
        (Bucket::RequestsPerDay, Some(free_at), Code::RequestLimit, after),
        (
            Bucket::RequestsPerMinute,
            Some(free_at),
            Code::RequestLimit,
            after,
        ),
        (Bucket::TokensPerDay, Some(free_at), Code::TokenLimit, after),
        // More than the whole limit: no wait helps.
        (Bucket::TokensPerMinute, None, Code::TokenLimit, Retry::Never),
    ];
    for (bucket, free_at, code, retry) in cases {
        let mut world = World::new(DEFAULTS);
        world.key_limit = Some(limited(bucket, free_at));
        let world = world.run("");
        assert_eq!((world.refusal().code, world.refusal().retry), (code, retry));
        world.check_laws();
    }
}

#[test]
fn channels_at_their_limits_are_passed_over_and_the_wait_is_the_shortest() {
    let at = |s| Some(START.plus(Span::from_s(s)));
    let mut world = World::new(DEFAULTS);
    world.channel_limits[0] = Some(limited(Bucket::RequestsPerMinute, at(30)));
    world.channel_limits[1] = Some(limited(Bucket::TokensPerMinute, at(9)));
    world.channel_limits[2] = Some(limited(Bucket::Concurrency, None));
    let world = world.run("");
    assert_eq!(world.refusal().code, Code::ChannelsBusy);
    assert_eq!(world.refusal().retry, Retry::After(Span::from_s(9)));
    assert_eq!(
        world.words.join(" "),
        "judge-111 look ask-key ask-row0 ask-row1 ask-row2 record settle-key-0 refuse-channels_busy close"
    );
    world.check_laws();

    let mut world = World::new(DEFAULTS);
    world.channel_limits = [Some(limited(Bucket::Concurrency, None)); ROWS_MAX];
    let world = world.run("");
    assert_eq!(world.refusal().retry, Retry::Free, "nobody can tell");
}
