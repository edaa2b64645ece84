//! `--set KEY=VALUE`: one key of a scenario given apart from its file.

use toml::{Table, Value};

use super::ScenarioError;

/// Sets one `key=value` in a table.
pub(super) fn set(table: &mut Table, word: &str) -> Result<(), ScenarioError> {
    let wrong = |why: &str| ScenarioError(format!("--set {word}: {why}"));
    let (key, text) = word.split_once('=').ok_or_else(|| wrong("must be KEY=VALUE"))?;
    // What is no TOML value of its own is a word.
    let read = toml::from_str::<Table>(&format!("value = {text}"));
    let value = read.ok().and_then(|mut read| read.remove("value"));
    let value = value.unwrap_or_else(|| Value::String(text.to_owned()));
    let mut keys = key.split('.').peekable();
    let first = keys.next().ok_or_else(|| wrong("has no key"))?;
    let fresh = || Value::Table(Table::new());
    if keys.peek().is_none() {
        table.insert(first.to_owned(), value);
        return Ok(());
    }
    let mut at = table.entry(first).or_insert_with(fresh);
    while let Some(name) = keys.next() {
        let place = match at {
            Value::Table(inner) => inner.entry(name).or_insert_with(fresh),
            Value::Array(list) => {
                let index: Option<usize> = name.parse().ok();
                let len = list.len();
                index
                    .and_then(|index| list.get_mut(index))
                    .ok_or_else(|| wrong(&format!("{name} must be a number below {len}")))?
            }
            _ => return Err(wrong(&format!("nothing stands below the key before {name}"))),
        };
        if keys.peek().is_none() {
            *place = value;
            return Ok(());
        }
        at = place;
    }
    Ok(())
}
