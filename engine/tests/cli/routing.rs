//! Who routes, where the kernel module is not there: what it does where it is, the module's own
//! tests show.

use crate::daemon::{Daemon, run, stderr, stdout};

/// What stands against kernel routing on a host without the module.
fn names_what_to_do(text: &str) -> bool {
    text.contains("routing: kdht.ko is not loaded: modprobe kdht")
}

#[test]
fn kernel_routing_without_the_module_names_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let words = ["run", "--listen", "127.0.0.1:0", "--routing", "kernel"];
    let output = run(home.path(), &words);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(names_what_to_do(&stderr(&output)), "{}", stderr(&output));
}

#[test]
fn auto_routing_without_the_module_is_the_engines_and_said_so() {
    let home = tempfile::tempdir().unwrap();
    let node = Daemon::start(home.path(), &["--routing", "auto"]);
    assert_eq!(node.stat()["routing"], "user");
    let control = node.control();
    let output = run(home.path(), &["routing", "kernel", "--control", &control]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(names_what_to_do(&stderr(&output)), "{}", stderr(&output));
    let output = run(home.path(), &["routing", "user", "--control", &control]);
    assert_eq!(stdout(&output), "user routes, user did before\n");
    assert_eq!(node.stat()["routing"], "user");
}

#[test]
fn other_words_for_routing_are_refused() {
    let home = tempfile::tempdir().unwrap();
    for words in
        [&["run", "--routing", "kernal"][..], &["routing", "auto", "--control", "/nonexistent"]]
    {
        let output = run(home.path(), words);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(stderr(&output).contains("user"), "{}", stderr(&output));
    }
}
