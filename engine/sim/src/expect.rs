//! Pass lines: what a scenario's figures must be.

use crate::figures::Figures;
use crate::scenario::ScenarioError;

/// Conditions of one line, at most.
const CONDITIONS_MAX: usize = 8;
/// What a line may look like.
const FORMS: &str = "a line is FIGURE <=, <, >=, > or == NUMBER, or FIGURE within SHARE of \
                     NUMBER, and may end in `if KEY == NUMBER and KEY <= NUMBER and ...`";

/// One pass line, read.
#[derive(Clone, Debug)]
pub(crate) struct Expectation {
    line: String,
    figure: String,
    wanted: Wanted,
    conditions: Vec<Condition>,
}

/// When a line counts.
#[derive(Clone, Debug)]
struct Condition {
    key: String,
    /// At most the bound, or the bound itself.
    is_at_most: bool,
    bound: f64,
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    AtMost(f64),
    Below(f64),
    AtLeast(f64),
    Above(f64),
    Equal(f64),
    Within { share: f64, of: f64 },
}

impl Expectation {
    pub(crate) fn parse(line: &str) -> Result<Self, ScenarioError> {
        let wrong = || ScenarioError(format!("expect {line:?}: {FORMS}"));
        let number = |word: &str| word.parse::<f64>().map_err(|_| wrong());
        let (test, condition) = line.split_once(" if ").unwrap_or((line, ""));
        let words: Vec<&str> = test.split_whitespace().collect();
        let wanted = match words[..] {
            [_, "<=", bound] => Wanted::AtMost(number(bound)?),
            [_, "<", bound] => Wanted::Below(number(bound)?),
            [_, ">=", bound] => Wanted::AtLeast(number(bound)?),
            [_, ">", bound] => Wanted::Above(number(bound)?),
            [_, "==", bound] => Wanted::Equal(number(bound)?),
            [_, "within", share, "of", of] => {
                Wanted::Within { share: number(share)?, of: number(of)? }
            }
            _ => return Err(wrong()),
        };
        let mut conditions = Vec::new();
        for part in condition.split(" and ").filter(|part| !part.trim().is_empty()) {
            let words: Vec<&str> = part.split_whitespace().collect();
            let [key, word @ ("==" | "<="), bound] = words[..] else { return Err(wrong()) };
            let (key, bound) = (key.to_owned(), number(bound)?);
            conditions.push(Condition { key, is_at_most: word == "<=", bound });
        }
        let figure = words[0].to_owned();
        let empty = Figures::default();
        let is_unknown = |name: &&String| empty.by_name(name).is_none();
        let names = conditions.iter().map(|condition| &condition.key);
        if let Some(unknown) = names.chain([&figure]).find(is_unknown) {
            let known = Figures::names().join(", ");
            return Err(ScenarioError(format!(
                "expect {line:?}: no figure is called {unknown}; there are {known}"
            )));
        }
        if conditions.len() > CONDITIONS_MAX {
            return Err(wrong());
        }
        Ok(Self { line: line.to_owned(), figure, wanted, conditions })
    }

    /// Nothing if the figures are as wanted or the line's conditions do not hold, else the
    /// line and what the figure is.
    pub(crate) fn failure(&self, figures: &Figures) -> Option<String> {
        let value = |name: &str| figures.by_name(name).unwrap_or(f64::NAN);
        let close = |left: f64, right: f64| (left - right).abs() < 1e-9;
        let holds = |condition: &Condition| {
            let is = value(&condition.key);
            close(is, condition.bound) || condition.is_at_most && is < condition.bound
        };
        if !self.conditions.iter().all(holds) {
            return None;
        }
        let is = value(&self.figure);
        let passes = match self.wanted {
            Wanted::AtMost(bound) => is <= bound,
            Wanted::Below(bound) => is < bound,
            Wanted::AtLeast(bound) => is >= bound,
            Wanted::Above(bound) => is > bound,
            Wanted::Equal(bound) => close(is, bound),
            Wanted::Within { share, of } => (is - of).abs() <= share * of.abs(),
        };
        (!passes).then(|| format!("{} is {is:.6}, expected: {}", self.figure, self.line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_passes_exactly_when_its_figure_is_as_it_says() {
        let figures = Figures { hops_mean: 2.5, nodes: 100, ..Figures::default() };
        for (line, passes) in [
            ("hops_mean <= 2.5", true),
            ("hops_mean < 2.5", false),
            ("hops_mean >= 2.6", false),
            ("hops_mean > 2.4", true),
            ("hops_mean == 2.5", true),
            ("hops_mean within 0.05 of 2.42", true),
            ("hops_mean within 0.03 of 2.42", false),
            ("hops_mean > 9 if nodes == 99", true),
            ("hops_mean > 9 if nodes == 100 and seed == 0", false),
            ("hops_mean > 9 if nodes <= 99", true),
            ("hops_mean > 9 if nodes <= 100", false),
        ] {
            let read = Expectation::parse(line).unwrap();
            assert_eq!(read.failure(&figures).is_none(), passes, "{line}");
        }
        let nothing = Figures::default();
        let read = Expectation::parse("hops_mean >= 0").unwrap();
        assert!(read.failure(&nothing).is_some(), "what was not measured does not pass");
    }
}
