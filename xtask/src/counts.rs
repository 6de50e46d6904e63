//! Instruction counts under callgrind against their committed baseline.

/// Whether no count rose by more than its margin.
pub(crate) fn run(_arguments: &[&str]) -> anyhow::Result<bool> {
    anyhow::bail!("there are no scenarios to count")
}
