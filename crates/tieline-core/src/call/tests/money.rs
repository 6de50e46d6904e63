//! Budgets: what is reserved, what is injected, what is charged, and what an unknown price does.

use super::*;
use crate::grid::UnknownPrice;
use crate::mark::Usage;
use crate::money::Nano;

/// 400 bytes of body and 1,024 tokens around it at 1 USD, 100 tokens of output at 2 USD, per million.
const ONE_ATTEMPT: u64 = 1_424_000 + 200_000;

fn budgeted(settings: Settings) -> World {
    let mut world = World::new(settings);
    world.call.intake.is_budgeted = true;
    world.call.price_rows();
    world
}

fn claimed(world: &World) -> Nano {
    let mut claims = world.seen.iter().filter_map(|effect| match effect {
        Effect::ReserveKey { claim } => Some(claim.nano),
        _ => None,
    });
    claims.next_back().unwrap()
}

fn charged(world: &World) -> Nano {
    let mut charges = world.seen.iter().filter_map(|effect| match effect {
        Effect::SettleKey { charged, .. } => Some(*charged),
        _ => None,
    });
    charges.next_back().unwrap()
}

#[test]
fn the_bound_sums_over_the_attempts_that_may_be_billed() {
    let check = |attempts_max, expected| {
        let settings = Settings {
            attempts_max,
            ..DEFAULTS
        };
        assert_eq!(claimed(&budgeted(settings).run("")), Nano(expected));
    };
    check(1, ONE_ATTEMPT);
    // Two of the three candidates have a price, and each may be asked twice.
    check(2, 2 * ONE_ATTEMPT);
    check(4, 4 * ONE_ATTEMPT);
    check(8, 4 * ONE_ATTEMPT);
    assert_eq!(
        claimed(&World::new(DEFAULTS).run("")),
        Nano(0),
        "no budget, no bound"
    );
}

#[test]
fn answers_and_media_multiply_and_the_context_window_caps() {
    let mut world = budgeted(Settings {
        attempts_max: 1,
        ..DEFAULTS
    });
    world.call.intake.answers = 3;
    world.call.intake.media = 2;
    // The window of the model: 4,096 tokens.
    assert_eq!(claimed(&world.run("")), Nano(4_096_000 + 3 * 200_000));
}

#[test]
fn a_request_without_an_output_limit_gets_one_under_a_budget_alone() {
    let mut world = budgeted(DEFAULTS);
    assert_eq!(world.call.output_tokens_injected(), None, "it states one");
    world.call.intake.output_tokens_max = None;
    assert_eq!(world.call.output_tokens_injected(), Some(50));
    assert_eq!(claimed(&world.run("")), Nano(3 * (1_424_000 + 100_000)));
    let mut world = World::new(DEFAULTS);
    world.call.intake.output_tokens_max = None;
    assert_eq!(world.call.output_tokens_injected(), None);
}

#[test]
fn a_call_is_charged_what_it_cost_or_what_it_can_have_cost() {
    let check = |script: &str, expected: u64| {
        let world = budgeted(DEFAULTS).run(script);
        assert_eq!(charged(&world), Nano(expected), "{script}");
        assert_eq!(world.outcome().charged_nano, Some(Nano(expected)), "{script}");
        world.check_laws();
    };
    // 10 tokens at 1 USD and 90 at 2 USD per million.
    check("durable, content, usage 90, end", 190_000);
    check("durable, content, usage 900, end", 1_810_000);
    check("durable, content, end", ONE_ATTEMPT);
    // Nobody knows how far the channel had come.
    check("durable, content, usage 1, gone", ONE_ATTEMPT);
    check("durable, content, usage 1, cut", ONE_ATTEMPT);
    // What was refused costs nothing; what timed out may.
    check("durable, fault overload, content, usage 90, end", 190_000);
    check(
        "durable, fault timeout, content, usage 90, end",
        ONE_ATTEMPT + 190_000,
    );
    check("durable, gone", ONE_ATTEMPT);
    // Nothing was sent.
    check("gone", 0);
    check("wait 60000, wake", 0);
    check("lost", 0);
}

#[test]
fn what_changed_while_the_ledger_wrote_is_seen_before_the_request_leaves() {
    let mut world = budgeted(DEFAULTS).run("");
    assert!(!world.words.iter().any(|word| word.starts_with("dial")));
    world.out[0] = true;
    let world = world.run("durable, content, usage 90, end");
    assert!(
        world.after_dial().starts_with("dial-0-row1"),
        "{}",
        world.after_dial()
    );
    world.check_laws();
    // Who leaves in between has what was reserved given back.
    let mut world = budgeted(DEFAULTS).run("");
    world.slow = true;
    let world = world.run("durable, gone");
    world.check_laws();
}

#[test]
fn without_a_budget_nothing_of_money_is_recorded_and_what_is_known_is_counted() {
    let world = World::new(DEFAULTS).run("content, usage 90, end");
    assert_eq!(charged(&world), Nano(190_000));
    assert_eq!(world.outcome().charged_nano, None);
    assert_eq!(world.decision.as_ref().unwrap().reserved_nano, None);
    let world = World::new(DEFAULTS).run("content, end");
    assert_eq!(charged(&world), Nano(0));
}

/// The third candidate has no price; the world lets only it serve.
#[test]
fn an_unknown_price_does_what_the_configuration_says() {
    let check = |unknown_price, is_budgeted, expected: &str| {
        let mut world = World::new(Settings {
            unknown_price,
            ..DEFAULTS
        });
        world.call.intake.is_budgeted = is_budgeted;
        world.call.price_rows();
        world.rulings = [Ruling::Deny; ROWS_MAX];
        world.rulings[2] = Ruling::Allow;
        let world = world.run("");
        let end = world.words.last().unwrap();
        let end = if end == "close" {
            &world.words[world.words.len() - 2]
        } else {
            end
        };
        assert_eq!(end, expected);
        if world.call.is_over() {
            world.check_laws();
        }
    };
    check(UnknownPrice::Record, false, "dial-0-row2");
    check(UnknownPrice::Refuse, false, "refuse-price_unknown");
    check(UnknownPrice::Hold, false, "refuse-held");
    // Nobody could say what it may cost.
    check(UnknownPrice::Record, true, "refuse-price_unknown");
    check(UnknownPrice::Hold, true, "refuse-price_unknown");
}

#[test]
fn an_unpriced_candidate_is_passed_over_while_another_serves() {
    let mut world = budgeted(DEFAULTS);
    world.rulings[0] = Ruling::Deny;
    let world = world.run("durable, content, usage 1, end");
    let whys: Vec<Why> = world
        .decision
        .as_ref()
        .unwrap()
        .plan
        .iter()
        .map(|row| row.why)
        .collect();
    assert_eq!(whys, [Why::Denied, Why::Chosen, Why::Unpriced]);
    let known = world.outcome().usage.unwrap();
    assert_eq!(
        known,
        Usage {
            input: 10,
            output: 1,
            ..Usage::default()
        }
    );
}
