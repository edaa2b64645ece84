//! Links who asks in the guest to addresses of its own, by which its instructions are told from
//! those of other programs (`kernel/counter.c`), and tells the program which compiler made it,
//! since counts belong to one.

use std::process::Command;

fn main() {
    println!("cargo::rustc-link-arg-bin=kdht-bench-guest=-no-pie");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let told = Command::new(rustc).arg("--version").output();
    let told = told.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    println!("cargo::rustc-env=KDHT_RUSTC={}", told.unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
}
