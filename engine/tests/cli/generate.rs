//! What is made at packaging time.

use clap_complete::Shell;

use crate::daemon::{run, stderr, stdout};

#[test]
fn completions_and_manual_pages_name_every_command() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("new/folder");
    for what in ["completions", "man"] {
        let made = run(home.path(), &["generate", what, folder.to_str().unwrap()]);
        assert!(made.status.success(), "{}", stderr(&made));
    }
    let help = stdout(&run(home.path(), &["--help"]));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let commands = commands.filter_map(|line| line.split_whitespace().next());
    let commands: Vec<&str> = commands.filter(|name| *name != "help").collect();
    assert!(commands.contains(&"drain") && !commands.contains(&"generate"), "{commands:?}");
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let name = clap_complete::Generator::file_name(&shell, "kdht");
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        for command in &commands {
            assert!(text.contains(command), "{shell} lacks {command}");
        }
    }
    for command in &commands {
        let page = std::fs::read_to_string(folder.join(format!("kdht-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{command}");
    }
}
