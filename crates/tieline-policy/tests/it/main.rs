//! The crate through its public interface: packs in, verdicts out.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot set up its input should say so and stop"
)]

mod archive;
mod bad_packs;
mod cached;
mod combine;
mod coverage;
mod demo;
mod directives;
mod eras;
mod evidence;
mod hostile;
mod limits;
mod matrix;
mod orders;
mod owned;
mod packs;
mod signed_packs;
mod standings;
mod support;
mod terms;
mod versions;
