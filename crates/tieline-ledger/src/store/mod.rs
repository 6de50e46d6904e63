//! Where the rows of a ledger are kept.

pub(crate) mod pack;
mod sqlite;

pub(crate) use sqlite::{Row, Store, StoredHead};
