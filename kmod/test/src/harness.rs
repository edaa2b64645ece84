//! Compiling the module's portable files for user space, and asking the result.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::repository_file;

/// The module's files that need nothing of the kernel.
const PORTABLE: [&str; 17] = [
    "answer.c",
    "buckets.c",
    "cookie.c",
    "emit.c",
    "filter.c",
    "forward.c",
    "groups.c",
    "lookup.c",
    "mac.c",
    "neighbourhood.c",
    "peer.c",
    "places.c",
    "survey.c",
    "table.c",
    "throttle.c",
    "values.c",
    "wire.c",
];

/// The harness's own.
const OWN: [&str; 11] = [
    "answer.c",
    "buckets.c",
    "closest.c",
    "cookie.c",
    "endpoint.c",
    "filter.c",
    "lookup.c",
    "mac.c",
    "main.c",
    "parse.c",
    "throttle.c",
];

/// Why the harness did not answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum HarnessError {
    /// The C compiler, or the harness, could not be run.
    Run(io::Error),
    /// The C compiler refused; what it said.
    Compile(String),
    /// The harness ended badly, mostly since a sanitizer stopped it; what it said.
    Died(String),
}

impl fmt::Display for HarnessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(error) => write!(f, "{error}; a C compiler is required"),
            Self::Compile(text) => write!(f, "the module does not compile:\n{text}"),
            Self::Died(text) => write!(f, "the module's code was stopped:\n{text}"),
        }
    }
}

impl std::error::Error for HarnessError {}

/// The compiled harness.
#[derive(Debug)]
pub struct Harness {
    program: PathBuf,
}

impl Harness {
    /// Compiles it as `directory`/`name`, every warning an error, every finding of a
    /// sanitizer the end.
    ///
    /// # Errors
    /// [`HarnessError::Run`] or [`HarnessError::Compile`].
    pub fn build(directory: &Path, name: &str) -> Result<Self, HarnessError> {
        let program = directory.join(name);
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let output = Command::new(compiler)
            .args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"])
            .args(["-Wdeclaration-after-statement", "-fno-strict-aliasing"])
            .args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])
            .arg("-I")
            .arg(repository_file("kmod/test/shim"))
            .args(PORTABLE.map(|file| repository_file("kmod").join(file)))
            .args(OWN.map(|file| repository_file("kmod/test/harness").join(file)))
            .arg("-o")
            .arg(&program)
            .output()
            .map_err(HarnessError::Run)?;
        if output.status.success() {
            Ok(Self { program })
        } else {
            Err(HarnessError::Compile(String::from_utf8_lossy(&output.stderr).into_owned()))
        }
    }

    /// Hands `records` to `operation`, and returns the line for each.
    ///
    /// # Errors
    /// [`HarnessError::Run`] or [`HarnessError::Died`].
    pub fn ask<R: AsRef<[u8]>>(
        &self,
        operation: &str,
        records: &[R],
    ) -> Result<Vec<String>, HarnessError> {
        let mut child = Command::new(&self.program)
            .arg(operation)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(HarnessError::Run)?;
        let mut input = Vec::new();
        for record in records {
            let record = record.as_ref();
            let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
            input.extend_from_slice(&len.to_le_bytes());
            input.extend_from_slice(record);
        }
        let mut stdin = child.stdin.take();
        // Written beside the reading, or two full pipes would wait for each other. A harness
        // that was stopped reads no further, which its end tells better than the write.
        let writer = thread::spawn(move || {
            let _ = stdin.as_mut().map(|stdin| stdin.write_all(&input));
        });
        let output = child.wait_with_output().map_err(HarnessError::Run)?;
        let _ = writer.join();
        if !output.status.success() {
            return Err(HarnessError::Died(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }
}
