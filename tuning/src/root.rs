//! The one way to the host's files.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

/// Bytes that are read of a file at most: `/proc/stat` of some thousand CPUs.
const FILE_LEN_MAX: u64 = 1 << 20;
/// Names that are read of a directory at most: `/proc` with as many processes.
const NAMES_MAX: usize = 1 << 16;

/// The directory that stands for `/`: that itself, or a copy of another host's files.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

/// Why a file was not read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReadError {
    /// There is none, or its driver says that it does not apply.
    Absent,
    /// It may not be read.
    Denied,
    /// What it holds is no text.
    NoText,
    /// Anything else that the host said.
    Other(ErrorKind),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("does not exist here"),
            Self::Denied => f.write_str("may not be read by this user"),
            Self::NoText => f.write_str("holds no text"),
            Self::Other(kind) => write!(f, "cannot be read: {kind}"),
        }
    }
}

impl Root {
    /// Takes `dir` for `/`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Where a path of the host, such as `/proc/stat`, lies.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// What a file holds, exactly; of a longer one the first MiB.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, path: &str) -> Result<String, ReadError> {
        String::from_utf8(self.read_bytes(path)?).map_err(|_| ReadError::NoText)
    }

    /// The same without its white space at the ends.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_trimmed(&self, path: &str) -> Result<String, ReadError> {
        self.read(path).map(|text| text.trim().to_owned())
    }

    /// The same as bytes, which some devices give.
    ///
    /// # Errors
    /// [`ReadError`], but for `NoText`.
    pub fn read_bytes(&self, path: &str) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        let file = File::open(self.path(path)).map_err(|error| ReadError::of(&error))?;
        let read = file.take(FILE_LEN_MAX).read_to_end(&mut bytes);
        read.map(|_| bytes).map_err(|error| ReadError::of(&error))
    }

    /// The names in a directory, sorted, numbers by their value; none if there is no such
    /// directory. At most 65,536.
    #[must_use]
    pub fn list(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(path)) else { return Vec::new() };
        let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
        let mut names: Vec<String> = entries.take(NAMES_MAX).filter_map(name).collect();
        names.sort_by_key(|name| (trailing_number(name), name.clone()));
        names
    }

    /// Whether there is such a file or directory.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Whether a privileged user could write the file: the kernel gives many that nobody
    /// can, and containers mount the others for reading only.
    #[must_use]
    pub fn is_writable(&self, path: &str) -> bool {
        let path = self.path(path);
        let has_a_writer = |meta: fs::Metadata| meta.permissions().mode() & 0o222 != 0;
        fs::metadata(&path).is_ok_and(has_a_writer)
            && access(&path, Access::WRITE_OK) != Err(Errno::ROFS)
    }

    /// Writes all of `text` into a file that exists, in one call, as files of the kernel
    /// want it.
    ///
    /// # Errors
    /// Whatever the host says; then nothing or all of it may have taken effect.
    pub fn write(&self, path: &str, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).truncate(true).open(self.path(path))?;
        let written = file.write(text.as_bytes())?;
        if written == text.len() { Ok(()) } else { Err(ErrorKind::WriteZero.into()) }
    }
}

impl ReadError {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::Absent,
            ErrorKind::PermissionDenied => Self::Denied,
            kind => Self::Other(kind),
        }
    }
}

/// The number at the end of `name`, so that `rx-10` stands behind `rx-9`.
fn trailing_number(name: &str) -> Option<u64> {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    name[name.len() - digits..].parse().ok()
}
