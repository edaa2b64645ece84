//! Words of a line.

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WordsError {
    /// A quote was opened and not closed.
    Open(char),
    /// A backslash stands at the end.
    Backslash,
}

/// Splits a line at white space. Between two `'` everything stands for itself; between two
/// `"`, and outside of quotes, a backslash makes the next character stand for itself. A
/// word that begins with `#` ends the line.
pub(super) fn words(line: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                let next = chars.next().ok_or(WordsError::Backslash)?;
                word.get_or_insert_default().push(next);
            }
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('#', None) if word.is_none() => break,
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(open) = quote {
        return Err(WordsError::Open(open));
    }
    words.extend(word);
    Ok(words)
}

impl std::fmt::Display for WordsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open(quote) => write!(f, "a {quote} is opened and not closed"),
            Self::Backslash => write!(f, "a backslash stands at the end of the line"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_written() {
        for (line, wanted) in [
            ("", &[][..]),
            ("  \t ", &[]),
            ("# a remark", &[]),
            ("get key # a remark", &["get", "key"]),
            ("get ke#y", &["get", "ke#y"]),
            ("put a b", &["put", "a", "b"]),
            ("put \"two words\" 'and more'", &["put", "two words", "and more"]),
            ("put '' \"\"", &["put", "", ""]),
            (r#"put a\ b "c\"d\\" 'e\f'"#, &["put", "a b", "c\"d\\", r"e\f"]),
            ("a\"b c\"d", &["ab cd"]),
            ("\"it's\" 'a \" here'", &["it's", "a \" here"]),
            ("put ключ 値", &["put", "ключ", "値"]),
        ] {
            assert_eq!(words(line).unwrap(), wanted, "{line}");
        }
        assert_eq!(words("put \"a"), Err(WordsError::Open('"')));
        assert_eq!(words("put 'a\\'b'"), Err(WordsError::Open('\'')));
        assert_eq!(words("put a\\"), Err(WordsError::Backslash));
    }
}
