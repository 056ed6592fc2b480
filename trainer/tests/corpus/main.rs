//! Corpora end to end: scanned, counted, chosen, prepared.

mod common;
mod prepare;
mod scan;
