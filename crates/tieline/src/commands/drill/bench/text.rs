//! What was measured, in sentences, each with its bar.

use std::fmt::Write as _;

use super::BenchReport;

pub(super) fn text(report: &BenchReport) -> String {
    let bars = &report.bars;
    let mut text = format!(
        "{} calls a second on one core (bar: {}): {} calls of {} parties over {} channels, {} of them carried, in {} \
         attempts, under {} rules of {} packs; {} bytes a call (bar: {}).\n",
        report.calls_per_second_per_core,
        bars.calls_per_second_per_core_min,
        report.calls,
        report.parties,
        report.channels,
        report.carried,
        report.attempts,
        report.rules,
        report.packs,
        report.bytes_per_call,
        bars.bytes_per_call_max
    );
    losses(&mut text, report);
    at_size(&mut text, report);
    text
}

/// The loss of elements, one by one and two by two.
fn losses(text: &mut String, report: &BenchReport) {
    let bars = &report.bars;
    if let Some(losses) = &report.n_1 {
        let _ = writeln!(
            text,
            "Each of {} components gone in turn: {} plays in {} ms on {} cores (bar of a day of a million calls: {} ms); each \
             of {} channels: {} plays in {} ms.",
            report.components,
            losses.components.plays,
            losses.components.ms,
            losses.cores,
            bars.n_1_ms_max,
            report.channels,
            losses.channels.plays,
            losses.channels.ms
        );
    }
    if let Some(pairs) = &report.n_2 {
        let _ = writeln!(
            text,
            "Every two of {} components gone at once: {} pairs, of which {} are as one of the two, {} plays decided call by \
             call and {} screened out, in {} ms on {} cores (bar of a day of a million calls: {} ms).",
            report.components,
            pairs.pairs,
            pairs.pairs_as_one,
            pairs.plays_exact,
            pairs.plays_modelled,
            pairs.ms,
            pairs.cores,
            bars.n_2_ms_max
        );
    }
}

/// What is measured at sizes of its own.
fn at_size(text: &mut String, report: &BenchReport) {
    let bars = &report.bars;
    if let Some(structure) = &report.structure {
        let _ = writeln!(
            text,
            "Structure of {} components, {} channels and {} parties: {} ms with components as grids have them, {} ms with \
             components at random (bar of 1,000 parties: {} ms).",
            structure.components,
            structure.channels,
            structure.parties,
            structure.layered_ms,
            structure.random_ms,
            bars.structure_ms_max
        );
    }
    if let Some(memory) = &report.memory {
        let peak = memory.peak_bytes.map_or_else(
            || "not known here".to_owned(),
            |bytes| format!("{} MiB", bytes >> 20),
        );
        let _ = writeln!(
            text,
            "Peak memory of {} calls, streamed in as {} MiB of text, their base and {} losses at once: {peak} (bar of ten \
             million calls: {} MiB).",
            memory.calls,
            memory.bytes_streamed >> 20,
            memory.losses,
            bars.memory_bytes_max >> 20
        );
    }
}
