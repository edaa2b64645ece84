//! The guest: an emulated machine whose clock counts instructions and that sees nothing of its
//! host, so that two runs count the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::plan::Ask;
use super::profile::{self, Profile, Symbols};

/// Longest time that a guest may take, in seconds of the host's clock.
const GUEST_SECONDS: &str = "1800";
/// The command line of the guest's kernel. Memory is not cleared where it is handed out: the
/// emulator would count each turn of a string instruction.
const APPEND: &str = "console=ttyS0 quiet loglevel=1 panic=-1 tsc=reliable nokaslr norandmaps \
                      random.trust_cpu=off init_on_alloc=0";

/// What guests boot from.
#[derive(Debug)]
pub(super) struct Machine {
    image: PathBuf,
    initrd: PathBuf,
    counter: PathBuf,
    /// What decides on the counts beside the sources, by name.
    pub(super) made_by: BTreeMap<String, String>,
}

/// What one guest counted.
#[derive(Debug)]
pub(super) struct Counted {
    /// Each cell with its count, in the plan's order.
    pub(super) cells: Vec<(Ask, Profile)>,
    /// The guest's kernel.
    pub(super) kernel: String,
    /// What the guest's kernel says of the processor's weaknesses.
    pub(super) vulnerabilities: BTreeMap<String, String>,
}

impl Machine {
    /// Builds module, plugin and initrd in folder `out`, by the scripts of the source tree.
    ///
    /// # Errors
    /// What is missing, or does not build.
    pub(super) fn prepare(programs: &Path, out: &Path) -> Result<Self, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernel/prepare");
        let ran = Command::new(&script).arg(programs).arg(out).stderr(Stdio::inherit()).output();
        let ran = ran.map_err(|error| format!("{}: {error}", script.display()))?;
        if !ran.status.success() {
            return Err(format!("{} failed", script.display()));
        }
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let lines = said.lines().filter_map(|line| line.split_once(' '));
        let mut told: BTreeMap<String, String> =
            lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut path = |name: &str| {
            told.remove(name).map(PathBuf::from).ok_or_else(|| format!("no {name} was prepared"))
        };
        let (image, initrd, counter) = (path("image")?, path("initrd")?, path("counter")?);
        Ok(Self { image, initrd, counter, made_by: told })
    }

    /// Boots a guest and waits for its end.
    ///
    /// # Errors
    /// That it does not come to a good end.
    pub(super) fn count(
        &self,
        words: &[&str],
        mitigations: bool,
        out: &Path,
    ) -> Result<Counted, String> {
        let name = if mitigations { "mitigations-on" } else { "mitigations-off" };
        let counts = out.join(format!("{name}.counts"));
        let log = out.join(format!("{name}.log"));
        let append = format!(
            "{APPEND} mitigations={} COUNT_WORDS={}",
            if mitigations { "auto" } else { "off" },
            words.join(",")
        );
        let file = fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let errors = file.try_clone().map_err(|error| error.to_string())?;
        let ran = Command::new("timeout")
            .args([GUEST_SECONDS, "qemu-system-x86_64", "-accel", "tcg"])
            // Strings are moved by words: the emulator counts each turn of rep movsb.
            .args(["-cpu", "max,-rdrand,-rdseed,-erms,-fsrm", "-m", "512", "-smp", "1"])
            .args(["-display", "none", "-nodefaults", "-no-reboot", "-serial", "stdio"])
            .args(["-icount", "shift=0,sleep=off", "-seed", "1"])
            .args(["-rtc", "base=2024-01-01T00:00:00,clock=vm"])
            .arg("-plugin")
            .arg(format!("{},out={}", self.counter.display(), counts.display()))
            .arg("-kernel")
            .arg(&self.image)
            .arg("-initrd")
            .arg(&self.initrd)
            .args(["-append", &append])
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .status();
        ran.map_err(|error| format!("timeout: {error}"))?;
        let read = |path: &Path| {
            fs::read(path)
                .map(|bytes| String::from_utf8_lossy(&bytes).replace('\r', ""))
                .map_err(|error| format!("{}: {error}", path.display()))
        };
        let said = read(&log)?;
        if !said.contains("kdht-bench-guest ended with 0") || !said.contains("came to its end") {
            let last: Vec<&str> = said.lines().filter(|line| line.len() < 200).collect();
            let last = last[last.len().saturating_sub(30)..].join("\n");
            return Err(format!("the guest came to no good end; see {}:\n{last}", log.display()));
        }
        let console = Console::parse(&said)?;
        let profiles = profile::parse(&read(&counts)?, &console.symbols)?;
        // As large as all else of a run together, and of no use any more.
        fs::remove_file(&counts).map_err(|error| format!("{}: {error}", counts.display()))?;
        if profiles.len() != console.cells.len() || profiles.is_empty() {
            return Err(format!("{} cells, {} counts", console.cells.len(), profiles.len()));
        }
        Ok(Counted {
            cells: console.cells.into_iter().zip(profiles).collect(),
            kernel: console.kernel,
            vulnerabilities: console.vulnerabilities,
        })
    }
}

/// What the guest says.
struct Console {
    cells: Vec<Ask>,
    symbols: Symbols,
    kernel: String,
    vulnerabilities: BTreeMap<String, String>,
}

impl Console {
    fn parse(said: &str) -> Result<Self, String> {
        let mut cells = Vec::new();
        for cell in said.lines().filter_map(|line| line.strip_prefix("counted ")) {
            cells.push(serde_json::from_str(cell).map_err(|error| format!("{cell}: {error}"))?);
        }
        let symbols = said
            .split_once("symbols of the kernel\n")
            .and_then(|(_, rest)| Some(rest.split_once("end of symbols")?.0))
            .ok_or("the guest does not name its kernel's symbols")?;
        let kernel = said.lines().find_map(|line| line.strip_prefix("Linux version "));
        let weaknesses = "/sys/devices/system/cpu/vulnerabilities/";
        let vulnerability = |line: &str| {
            let (name, state) = line.strip_prefix(weaknesses)?.split_once(':')?;
            Some((name.to_owned(), state.to_owned()))
        };
        Ok(Self {
            cells,
            symbols: Symbols::parse(symbols),
            kernel: kernel.ok_or("the guest does not name its kernel")?.to_owned(),
            vulnerabilities: said.lines().filter_map(vulnerability).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::plan::plan;

    #[test]
    fn what_the_guest_says_is_read_and_what_it_leaves_out_is_named() {
        let cell = serde_json::to_string(&plan(true)[0]).unwrap();
        let whole = format!(
            "the guest is up\ncounted {cell}\nsymbols of the kernel\nffffffff81000000 a\n\
             end of symbols\nLinux version 6.1\n/sys/devices/system/cpu/vulnerabilities/x:fine\n"
        );
        let console = Console::parse(&whole).unwrap();
        assert_eq!((console.cells, &*console.kernel), (vec![plan(true)[0]], "6.1"));
        assert_eq!(console.vulnerabilities["x"], "fine");
        for part in ["symbols of the kernel", "Linux version", &cell[..9]] {
            assert!(Console::parse(&whole.replace(part, "-")).is_err(), "{part}");
        }
    }
}
