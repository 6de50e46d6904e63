//! The world that the drill is measured in: it is the same however its calls come, and as large as it says.

use tieline_core::grid::Candidate;
use tieline_core::{Ruling, Scope, Span};
use tieline_drill::{
    Assumed, Bars, BenchNeeds, BenchSize, ElementKind, Known, Mapping, NMinus2Report, Onto, Pairs, PartyView,
    Rehearsal, TraceOptions, TraceReader, Traffic, Window, bench_grid, bench_large, bench_lines, bench_may,
    bench_party, bench_snapshot, bench_traffic, structure,
};

const SMALL: BenchSize = BenchSize {
    calls: 1_200,
    channels: 8,
    parties: 5,
    span: Span::from_s(600),
    worth: 6_000,
};

/// A call without the numbers under which what it shares is kept.
fn told(traffic: &Traffic) -> Vec<String> {
    let call = |call| {
        let (party, ask) = (traffic.party_of(call), traffic.ask_of(call));
        format!(
            "{:?} {party:?} {ask:?} {:?} {:?} {:?} {}",
            call.at(),
            call.usage(),
            call.times(),
            call.output_max(),
            call.is_streamed()
        )
    };
    traffic.calls.iter().map(call).collect()
}

#[test]
fn calls_that_are_streamed_in_are_those_of_the_world() {
    let snapshot = bench_snapshot(bench_grid(SMALL)).unwrap();
    let made = bench_traffic(SMALL, &snapshot, &|_, _, _| Ruling::Allow);
    let everything = |_: Candidate| true;
    let parties: Vec<PartyView<'_>> = (0..SMALL.parties)
        .map(|ix| PartyView {
            allowed: &everything,
            party: bench_party(ix),
            scope: Scope::All,
        })
        .collect();
    let mapping = Mapping::none();
    let mut reader = TraceReader::new(TraceOptions {
        mapping: &mapping,
        onto: Some(Onto {
            snapshot: &snapshot,
            parties: &parties,
        }),
        scale: None,
        seed: None,
        sort: false,
        window: Window::default(),
    });
    reader.file("calls.csv");
    let (mut lines, mut pieces) = (0, 0);
    bench_lines(SMALL, &snapshot, &mut |piece, count| {
        reader.feed(piece);
        (lines, pieces) = (lines + count, pieces + 1);
    });
    let read = reader.finish().unwrap();
    assert_eq!(told(&read), told(&made));
    assert_eq!(lines, SMALL.calls as u64);
    assert!(pieces > 1, "the text of {lines} calls came at once");
    let base = |traffic| {
        Rehearsal::new(&snapshot, traffic, Known::default())
            .base()
            .clone()
    };
    let (of_read, of_made) = (base(&read), base(&made));
    assert_eq!((of_read.carried, of_read.flows), (of_made.carried, of_made.flows));
}

#[test]
fn pairs_of_components_are_those_of_all_pairs() {
    let snapshot = bench_snapshot(bench_grid(SMALL)).unwrap();
    let traffic = bench_traffic(SMALL, &snapshot, &|_, _, _| Ruling::Allow);
    let rehearsal = Rehearsal::new(&snapshot, &traffic, Known::default());
    let report = |pairs: Pairs<'_, '_>| -> NMinus2Report {
        let singles: Vec<_> = (0..pairs.singles()).map(|ix| pairs.single(ix)).collect();
        let judged: Vec<_> = (0..pairs.plays()).map(|ix| pairs.judge(ix)).collect();
        let plan = pairs.plan(&singles, &judged, usize::MAX);
        let chosen = (0..plan.chosen()).map(|ix| pairs.play(&plan, ix)).collect();
        pairs.n_minus_2(&plan, &singles, chosen, &Bars::default())
    };
    let all = report(Pairs::new(&rehearsal, Assumed::default()));
    let some = report(Pairs::of(&rehearsal, Assumed::default(), ElementKind::Component));
    let components = snapshot.components.len() as u64;
    assert_eq!(some.pairs, components * (components - 1) / 2);
    assert_eq!(some.pairs, some.pairs_as_one + some.contingencies.len() as u64);
    let of_components: Vec<_> = (all.contingencies.iter())
        .filter(|row| row.gone.iter().all(|one| one.kind == ElementKind::Component))
        .collect();
    assert_eq!(some.contingencies.iter().collect::<Vec<_>>(), of_components);
}

#[test]
fn the_large_grid_is_as_large_as_it_says() {
    for needs in [BenchNeeds::Layered, BenchNeeds::Random] {
        let snapshot = bench_snapshot(bench_large(needs)).unwrap();
        assert_eq!((snapshot.components.len(), snapshot.channels.len()), (256, 64));
        let allowed: Vec<Box<dyn Fn(Candidate) -> bool>> = (0..40).map(bench_may).collect();
        let parties = (0..).zip(&allowed).map(|(ix, allowed)| PartyView {
            allowed: &**allowed,
            party: bench_party(ix),
            scope: Scope::All,
        });
        let report = structure(&snapshot, &parties.collect::<Vec<_>>(), None);
        // No two parties are alike, so none share a row.
        assert_eq!(report.parties.len(), 40, "{needs:?}");
        assert_eq!(report.elements.len(), 256 + 64);
    }
}
