//! Web pages over the ledger's read model and a status trait.
