//! Corpora end to end: scanned, counted, chosen, prepared.

mod assemble;
mod common;
mod prepare;
mod scan;
