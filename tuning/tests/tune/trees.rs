//! Copies of hosts, laid out from the files in `tests/trees`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kdht_tune::{Check, Host, Profile, Root};
use tempfile::TempDir;

/// Lays out a tree. Each line is a path, a tab, and what the file holds; a path that ends
/// with a slash is a directory.
pub(crate) fn tree(name: &str) -> TempDir {
    let path = format!("{}/tests/trees/{name}.tree", env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    for line in fs::read_to_string(path).unwrap().lines() {
        let (path, text) = line.split_once('\t').unwrap();
        let at = directory.path().join(path.trim_start_matches('/'));
        if path.ends_with('/') {
            fs::create_dir_all(at).unwrap();
            continue;
        }
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        let plain = text.replace("\\n", "\n").replace("\\t", "\t").replace("\\0", "\0");
        fs::write(at, plain).unwrap();
    }
    directory
}

/// Takes every write bit, as a container's mounts do.
pub(crate) fn make_read_only(directory: &Path) {
    for path in files(directory).into_keys() {
        fs::set_permissions(directory.join(path), fs::Permissions::from_mode(0o444)).unwrap();
    }
}

/// Every file below `directory` but the journal's, with its bytes.
pub(crate) fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(at) = left.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
                continue;
            }
            let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
            if !name.starts_with("var/") {
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The paths of files that differ, as the host names them.
pub(crate) fn changed(
    before: &BTreeMap<String, Vec<u8>>,
    after: &BTreeMap<String, Vec<u8>>,
) -> Vec<String> {
    assert!(before.keys().eq(after.keys()), "files appeared or went");
    let differs = |(name, bytes): &(&String, &Vec<u8>)| before[*name] != **bytes;
    after.iter().filter(differs).map(|(name, _)| format!("/{name}")).collect()
}

pub(crate) fn host(directory: &Path, cores: &str) -> Host {
    let cores = (!cores.is_empty()).then(|| cores.parse().unwrap());
    Host::new(Root::new(directory), cores, None).unwrap()
}

pub(crate) fn check(directory: &Path, cores: &str, profile: Profile) -> Check {
    kdht_tune::check(&host(directory, cores), profile)
}
