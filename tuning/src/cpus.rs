//! Sets of CPUs, as the kernel writes them: lists (`0-3,8`) and masks (`1,0000000f`).

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::{self, Write};
use std::str::FromStr;

/// CPUs are numbered below this.
pub const CPUS_MAX: u16 = 8_192;

/// Numbers of CPUs, each once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cpus(BTreeSet<u16>);

/// A text that is no list and no mask of CPUs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoCpus;

impl fmt::Display for NoCpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CPUs are written as 0-3,8, each below {CPUS_MAX}")
    }
}

impl Error for NoCpus {}

impl FromStr for Cpus {
    type Err = NoCpus;

    /// Reads a list. Nothing, and the kernel's `(null)`, are the empty set.
    fn from_str(text: &str) -> Result<Self, NoCpus> {
        let text = text.trim();
        let mut cpus = BTreeSet::new();
        if text.is_empty() || text == "(null)" {
            return Ok(Self(cpus));
        }
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<u16>().map_err(|_| NoCpus);
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last >= CPUS_MAX {
                return Err(NoCpus);
            }
            cpus.extend(first..=last);
        }
        Ok(Self(cpus))
    }
}

impl FromIterator<u16> for Cpus {
    fn from_iter<T: IntoIterator<Item = u16>>(cpus: T) -> Self {
        Self(cpus.into_iter().filter(|cpu| *cpu < CPUS_MAX).collect())
    }
}

impl fmt::Display for Cpus {
    /// As the kernel lists them: `0-3,8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<u16> = self.iter().collect();
        let mut separator = "";
        for run in all.chunk_by(|left, right| left + 1 == *right) {
            match run {
                [only] => write!(f, "{separator}{only}")?,
                [first, .., last] => write!(f, "{separator}{first}-{last}")?,
                [] => {}
            }
            separator = ",";
        }
        Ok(())
    }
}

impl Cpus {
    /// Reads a mask: hexadecimal digits, the highest CPU first, commas anywhere.
    ///
    /// # Errors
    /// [`NoCpus`] for anything else, and for CPUs past [`CPUS_MAX`].
    pub fn from_mask(text: &str) -> Result<Self, NoCpus> {
        let mut cpus = BTreeSet::new();
        let mut base = 0u16;
        let digits = text.trim().chars().rev().filter(|c| *c != ',');
        for digit in digits {
            let bits = digit.to_digit(16).ok_or(NoCpus)?;
            if base >= CPUS_MAX {
                return Err(NoCpus);
            }
            cpus.extend((0..4).filter(|bit| bits & (1 << bit) != 0).map(|bit| base + bit));
            base += 4;
        }
        if base == 0 { Err(NoCpus) } else { Ok(Self(cpus)) }
    }

    /// As a mask: groups of eight digits, no more of them than the set needs.
    #[must_use]
    pub fn to_mask(&self) -> String {
        let groups = self.0.last().map_or(1, |last| last / 32 + 1);
        let mut text = String::new();
        for group in (0..groups).rev() {
            let bit = |bit: u16| u32::from(self.contains(group * 32 + bit)) << bit;
            let bits = (0..32).map(bit).fold(0, |bits, bit| bits | bit);
            let separator = if group == 0 { "" } else { "," };
            let _ = write!(text, "{bits:08x}{separator}");
        }
        text
    }

    /// The numbers, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().copied()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `cpu` is one of them.
    #[must_use]
    pub fn contains(&self, cpu: u16) -> bool {
        self.0.contains(&cpu)
    }

    /// Whether all of `others` are among these.
    #[must_use]
    pub fn covers(&self, others: &Self) -> bool {
        others.0.is_subset(&self.0)
    }

    /// Those of these that are among `others` too.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        Self(self.0.intersection(&others.0).copied().collect())
    }

    /// Those of these that are not among `others`.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        Self(self.0.difference(&others.0).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_back_as_they_were_written() {
        for (text, cpus) in [
            ("", vec![]),
            ("0", vec![0]),
            ("0-3,8", vec![0, 1, 2, 3, 8]),
            ("1,3-4,8191", vec![1, 3, 4, 8191]),
        ] {
            let set: Cpus = text.parse().unwrap();
            assert_eq!(set, cpus.into_iter().collect());
            assert_eq!(set.to_string(), text);
        }
        assert!("(null)\n".parse::<Cpus>().unwrap().is_empty());
        for text in ["a", "3-1", "8192", "1,,2", "-1", "0-", "1 2"] {
            assert_eq!(text.parse::<Cpus>(), Err(NoCpus), "{text}");
        }
    }

    #[test]
    fn masks_name_the_same_cpus_as_lists() {
        for (mask, list) in [
            ("00000000", ""),
            ("00000003", "0-1"),
            ("00000001,80000000", "31-32"),
            ("00000001,00000000,00000010", "4,64"),
        ] {
            let set = Cpus::from_mask(mask).unwrap();
            assert_eq!(set.to_string(), list);
            assert_eq!(set.to_mask(), mask);
        }
        assert_eq!(Cpus::from_mask("f\n").unwrap().to_string(), "0-3");
        for text in ["", "g", "0x3", &"f".repeat(2_049)] {
            assert_eq!(Cpus::from_mask(text), Err(NoCpus), "{text}");
        }
    }
}
