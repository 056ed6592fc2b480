//! Corpora end to end: scanned, counted, chosen, prepared.

mod assemble;
mod common;
mod prepare;
mod remote;
mod scan;
#[path = "../../../tests/tests/store/server.rs"]
mod server;
