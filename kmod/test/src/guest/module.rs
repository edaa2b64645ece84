//! The module's file: in and out of the kernel.

use std::process::Command;

/// Where the modules are.
#[derive(Debug)]
pub(crate) struct Module {
    directory: String,
}

impl Module {
    pub(crate) fn at(directory: &str) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Loads it and what it leans on.
    pub(crate) fn load(&self) -> Result<(), String> {
        for name in ["ip6_udp_tunnel", "udp_tunnel", "kdht"] {
            if !std::fs::exists(format!("/sys/module/{name}")).unwrap() {
                run("insmod", &format!("{}/{name}.ko", self.directory))?;
            }
        }
        Ok(())
    }

    /// Loads the driver of pairs of devices, where the kernel has it in a module.
    pub(crate) fn load_veth(&self) -> Result<(), String> {
        let path = format!("{}/veth.ko", self.directory);
        let is_there = std::fs::exists("/sys/module/veth").unwrap();
        if is_there || !std::fs::exists(&path).unwrap() { Ok(()) } else { run("insmod", &path) }
    }

    /// Takes it out, if nothing keeps it.
    pub(crate) fn unload(&self) -> Result<(), String> {
        run("rmmod", "kdht")
    }
}

fn run(program: &str, argument: &str) -> Result<(), String> {
    let output = Command::new(program).arg(argument).output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}
