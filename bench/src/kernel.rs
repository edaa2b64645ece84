//! `kdht-bench kernel`: the kernel path, the engine and bare echoes, by the instructions that a
//! round trip takes in a guest that counts them.

mod baseline;
mod guest;
mod native;
mod page;
pub mod plan;
mod profile;
mod row;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path as FilePath, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::compare::{default_out, repeat};
use crate::host;

use baseline::{Baseline, Held, TOLERANCE_PERCENT};
use guest::{Counted, Machine};
use plan::Path;
use row::{Row, gates};

/// Whether the guest's kernel guards against what its processor leaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Mitigations {
    /// `mitigations=off`
    Off,
    /// `mitigations=auto`: what the kernel deems right for the emulated processor
    On,
}

/// What to count, and what to do with it.
#[derive(Args, Clone, Debug)]
pub struct KernelArgs {
    /// Few cells, without mitigations: those of the gates and the baseline
    #[arg(long)]
    pub quick: bool,
    /// Only these paths [default: all]
    #[arg(long, value_name = "PATHS", value_delimiter = ',')]
    pub path: Vec<Path>,
    /// With or without mitigations [default: off,on; quick off]
    #[arg(long, value_name = "WHICH", value_delimiter = ',')]
    pub mitigations: Vec<Mitigations>,
    /// Let the engine send replies to one asker as one (UDP_SEGMENT), which neither the module nor
    /// an echo does; of weight with several in flight
    #[arg(long, conflicts_with_all = ["check", "bless"])]
    pub segment: bool,
    /// Hold the counts to those written down in bench/kernel/baseline.json
    #[arg(long)]
    pub check: bool,
    /// Write the counts down there
    #[arg(long, conflicts_with_all = ["check", "path"])]
    pub bless: bool,
    /// Time the same cells on this host instead, which must be able to load a module; as root
    #[arg(long, conflicts_with_all = ["check", "bless", "mitigations"])]
    pub native: bool,
    /// Folder of the optimised kdht, kdht-bench and kdht-bench-guest
    /// [default: that of this command]
    #[arg(long, value_name = "DIR")]
    pub programs: Option<PathBuf>,
    /// Folder for the report; made [default: target/bench/ and the time]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print the cells as JSON
    #[arg(long)]
    pub json: bool,
}

/// Counts, writes the folder and prints what was found.
///
/// # Errors
/// What kept it from counting, or counts that are not as written down.
pub fn main(args: &KernelArgs) -> Result<(), String> {
    let out = args.out.clone().unwrap_or_else(|| default_out("target/bench".as_ref(), "kernel"));
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let programs = programs(args)?;
    if args.native {
        return time(args, &programs, &out);
    }
    let machine = Machine::prepare(&programs, "target/kmod/count".as_ref())?;
    let mut rows = Vec::new();
    let mut key = machine.made_by.clone();
    let mut vulnerabilities = BTreeMap::new();
    for which in mitigations(args) {
        let is_on = which == Mitigations::On;
        eprintln!("booting a guest, mitigations {}", if is_on { "on" } else { "off" });
        let counted = machine.count(&words(args), is_on, &out)?;
        let Counted { cells, kernel, vulnerabilities: found } = counted;
        rows.extend(cells.iter().map(|(ask, profile)| Row::new(*ask, is_on, profile)));
        key.insert("kernel".to_owned(), kernel);
        vulnerabilities.insert(if is_on { "on" } else { "off" }, found);
    }
    key.insert("rustc".to_owned(), env!("KDHT_RUSTC").to_owned());
    let gates = gates(&rows);
    let found = Baseline::of(&key, &rows);

    let cells = json!({
        "key": key, "quick": args.quick, "segment": args.segment, "gates": gates, "cells": rows
    });
    write(&out, "cells.json", &format!("{cells:#}\n"))?;
    let mut env = host::describe();
    env["counted_on"] = json!(key);
    env["vulnerabilities"] = json!(vulnerabilities);
    write(&out, "env.json", &format!("{env:#}\n"))?;
    let command = repeat();
    write(&out, "repeat.sh", &format!("#!/bin/sh\n# Counts the same again.\n{command}\n"))?;
    write(&out, "report.html", &page::html(&rows, &gates, &env, &command)?)?;

    if args.json {
        println!("{cells}");
    } else {
        print!("{}\n{}\n{}\n", page::table(&rows), page::verdicts(&rows, &gates), page::MEANING);
    }
    eprintln!("report: {}", out.join("report.html").display());
    if args.bless {
        println!("{}", found.write()?.display());
    }
    if args.check { check(&found) } else { Ok(()) }
}

fn time(args: &KernelArgs, programs: &FilePath, out: &FilePath) -> Result<(), String> {
    let rows = native::time(programs, &words(args))?;
    let env = host::describe();
    let cells = json!({
        "native": true, "quick": args.quick, "segment": args.segment, "cells": rows
    });
    write(out, "cells.json", &format!("{cells:#}\n"))?;
    write(out, "env.json", &format!("{env:#}\n"))?;
    if args.json {
        println!("{cells}");
    } else {
        print!("{}", page::aligned(&native::table(&rows), 3));
    }
    eprintln!("cells: {}", out.join("cells.json").display());
    Ok(())
}

fn write(out: &FilePath, name: &str, text: &str) -> Result<(), String> {
    let path = out.join(name);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The folder of the programs that are measured.
fn programs(args: &KernelArgs) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let beside = own.parent().map(PathBuf::from).unwrap_or_default();
    if cfg!(debug_assertions) && args.programs.is_none() {
        return Err("built without optimisation: run it by cargo run --release, or name the \
                    folder of optimised programs by --programs"
            .to_owned());
    }
    let programs = args.programs.clone().unwrap_or(beside);
    for program in ["kdht", "kdht-bench", "kdht-bench-guest"] {
        if !programs.join(program).exists() {
            return Err(format!(
                "{} does not exist; build it by `cargo build --release -p kdht -p kdht-bench`",
                programs.join(program).display()
            ));
        }
    }
    Ok(programs)
}

/// What kdht-bench-guest is told of what to count.
fn words(args: &KernelArgs) -> Vec<&'static str> {
    let flags = [("--quick", args.quick), ("--segment", args.segment)];
    let flags = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(word, _)| word);
    flags.chain(args.path.iter().flat_map(|path| ["--path", path.name()])).collect()
}

fn mitigations(args: &KernelArgs) -> Vec<Mitigations> {
    match (&args.mitigations[..], args.quick) {
        ([], true) => vec![Mitigations::Off],
        ([], false) => vec![Mitigations::Off, Mitigations::On],
        (given, _) => given.to_vec(),
    }
}

fn check(found: &Baseline) -> Result<(), String> {
    let bless = "if that is meant to be: target/release/kdht-bench kernel --quick --bless";
    match Baseline::read()?.hold(found) {
        Held::Same => {
            println!("{} cells are as written down", found.instructions.len());
            Ok(())
        }
        Held::AnotherKey(lines) => {
            println!(
                "not held to what is written down, which was counted on something else:\n  {}\n\
                 to write down what was counted here: target/release/kdht-bench kernel --quick \
                 --bless",
                lines.join("\n  ")
            );
            Ok(())
        }
        Held::Differs(lines) => Err(format!(
            "instructions differ by more than {TOLERANCE_PERCENT} % from \
             bench/kernel/baseline.json:\n  {}\n{bless}",
            lines.join("\n  ")
        )),
    }
}
