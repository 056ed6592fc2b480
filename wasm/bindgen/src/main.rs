//! `amaes-bindgen INPUT.wasm FOLDER`: JavaScript and TypeScript types for a module of amaes-wasm.

use std::env;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut args = env::args_os().skip(1);
    let input = args.next().context("no input given")?;
    let folder = args.next().context("no output folder given")?;
    Bindgen::new()
        .input_path(input)
        .web(true)?
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .out_name("amaes_wasm")
        .generate(folder)
}
