//! The prompt: editing, history and completion of commands.

use std::path::Path;

use clap::CommandFactory;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Editor, Helper};

use super::super::show;
use super::line::Line;
use crate::cli::Failure;

/// Lines that the history keeps.
const HISTORY_LINES_MAX: usize = 1_000;

/// A prompt on the terminal.
pub(super) struct Prompt {
    editor: Editor<Commands, FileHistory>,
}

impl Prompt {
    /// A prompt that remembers what stands in `history`.
    pub(super) fn new(history: Option<&Path>) -> Result<Self, Failure> {
        let config = Config::builder().auto_add_history(true).history_ignore_space(true);
        let config = config.max_history_size(HISTORY_LINES_MAX).map_err(Failure::failed)?;
        let mut editor = Editor::with_config(config.build()).map_err(Failure::failed)?;
        editor.set_helper(Some(Commands::known()));
        // The first time there is none.
        let _ = history.map(|path| editor.load_history(path));
        Ok(Self { editor })
    }

    /// The next line; nothing at the end. Ctrl-C drops the line begun.
    pub(super) fn next(&mut self) -> Result<Option<String>, Failure> {
        match self.editor.readline("kdht> ") {
            Ok(line) => Ok(Some(line)),
            Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
            Err(ReadlineError::Eof) => Ok(None),
            Err(error) => Err(Failure::failed(error)),
        }
    }

    /// Keeps the history; a history that cannot be kept is told, and no failure.
    pub(super) fn end(mut self, history: Option<&Path>) {
        let Some(path) = history else { return };
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let kept = folder.map_err(ReadlineError::from);
        if let Err(error) = kept.and_then(|()| self.editor.save_history(path)) {
            show::talk(&format!("kdht: history {}: {error}", path.display()));
        }
    }
}

/// The names of all commands, for the first word of a line.
struct Commands(Vec<String>);

impl Commands {
    fn known() -> Self {
        let line = Line::command();
        let names = line.get_subcommands().map(|command| command.get_name().to_owned());
        Self(names.chain(["help".to_owned()]).collect())
    }

    /// Those that a line which begins with `begun` may mean.
    fn completions(&self, begun: &str) -> Vec<String> {
        let fits = |name: &&String| name.starts_with(begun);
        self.0.iter().filter(fits).map(|name| format!("{name} ")).collect()
    }
}

impl Completer for Commands {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok((0, self.completions(&line[..at])))
    }
}

impl Hinter for Commands {
    type Hint = String;
}

impl Highlighter for Commands {}
impl Validator for Commands {}
impl Helper for Commands {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_completed_and_no_other() {
        let commands = Commands::known();
        assert_eq!(commands.completions("pu"), ["put "]);
        assert_eq!(commands.completions("l"), ["ln ", "lv "]);
        assert_eq!(commands.completions("put k"), Vec::<String>::new());
        assert_eq!(commands.completions("").len(), 12);
    }
}
