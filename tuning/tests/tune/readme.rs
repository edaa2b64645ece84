//! README.md holds the tables that the registry makes.

use kdht_tune::{Profile, markdown};

#[test]
fn readme_md_says_what_the_registry_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let kept = std::fs::read_to_string(path).unwrap();
    let (begin, end) = ("<!-- begin: made from the registry -->\n", "<!-- end -->");
    let (before, rest) = kept.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let tables: Vec<String> = Profile::ALL.into_iter().map(markdown).collect();
    let made = format!("{before}{begin}{}\n{end}{after}", tables.join("\n"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap();
    assert_eq!(kept, made, "run this test with BLESS=1 to write README.md anew");
}
