//! Where the rows of a ledger are kept.

pub(crate) mod pack;
mod sqlite;

pub use sqlite::read_only;
pub(crate) use sqlite::{Row, Store, StoredHead};
