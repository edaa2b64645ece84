//! What is asked, and about what.

use std::str::FromStr;

use kdht_wire::Id;

use crate::draw::{Draw, Zipf};
use crate::protocol::Kind;

/// In which proportions the kinds are asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mix {
    /// Parts, by the number of the kind; their sum is not zero.
    parts: [u32; Kind::ALL.len()],
}

impl Mix {
    /// FIND_NODE alone.
    pub const FIND_NODE: Self = Self { parts: [0, 1, 0] };

    /// Whether this kind is asked at all.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.parts[kind as usize] > 0
    }

    /// Draws a kind.
    pub fn draw(&self, draw: &mut Draw) -> Kind {
        let mut at = draw.below(self.parts.iter().map(|part| u64::from(*part)).sum());
        for kind in Kind::ALL {
            let part = u64::from(self.parts[kind as usize]);
            if at < part {
                return kind;
            }
            at -= part;
        }
        Kind::FindNode
    }
}

impl FromStr for Mix {
    type Err = String;

    /// Reads such as `find_node=70,ping=20,find_value=10`; a kind alone has part 1.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = [0_u32; Kind::ALL.len()];
        for item in text.split(',') {
            let (name, part) = item.split_once('=').unwrap_or((item, "1"));
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name.trim());
            let kind = kind.ok_or_else(|| {
                format!("a mix names ping, find_node and find_value, not `{}`", name.trim())
            })?;
            let part = part.trim().parse::<u16>();
            let part = part.map_err(|_| format!("the part of {} is a number", kind.name()))?;
            parts[kind as usize] += u32::from(part);
        }
        if parts.iter().all(|part| *part == 0) {
            return Err("a mix needs a part that is not zero".to_owned());
        }
        Ok(Self { parts })
    }
}

/// How targets are distributed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Keys {
    /// `uniform`: every id as often.
    #[default]
    Uniform,
    /// `zipf`: few ids very often, by Zipf's law with exponent 1.
    Zipf,
    /// `near`: 95 of 100 share their first 16 bits with the node, as lookups that end there
    /// do; the rest are uniform.
    Near,
}

impl FromStr for Keys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "uniform" => Ok(Self::Uniform),
            "zipf" => Ok(Self::Zipf),
            "near" => Ok(Self::Near),
            _ => Err(format!("keys are uniform, zipf or near, not `{text}`")),
        }
    }
}

/// Different targets of one run: more than a core's caches hold the surroundings of.
pub const TARGETS: usize = 1 << 16;

/// Targets, drawn before the run so that the run need not.
#[derive(Clone, Debug)]
pub struct Targets {
    ids: Vec<Id>,
    zipf: Option<Zipf>,
}

impl Targets {
    /// Targets of the kind `keys`; `node` is the id that near ones are near to.
    #[must_use]
    pub fn new(keys: Keys, node: &Id, draw: &mut Draw) -> Self {
        let target = |draw: &mut Draw| {
            let mut id = draw.id();
            if keys == Keys::Near && draw.below(100) < 95 {
                id.0[..2].copy_from_slice(&node.0[..2]);
            }
            id
        };
        Self::of((0..TARGETS).map(|_| target(draw)).collect(), keys)
    }

    /// These ids as targets, by Zipf's law if `keys` say so, and otherwise each as often.
    #[must_use]
    pub fn of(ids: Vec<Id>, keys: Keys) -> Self {
        let zipf = (keys == Keys::Zipf).then(|| Zipf::new(ids.len()));
        Self { ids, zipf }
    }

    /// Draws the number of a target.
    pub fn draw(&self, draw: &mut Draw) -> u32 {
        let at = match &self.zipf {
            Some(zipf) => zipf.rank(draw),
            None => draw.index(self.ids.len()),
        };
        u32::try_from(at).unwrap_or(0)
    }

    /// The target of this number.
    #[must_use]
    pub fn id(&self, number: u32) -> &Id {
        &self.ids[number as usize]
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_drawn_in_its_proportions() {
        let mix: Mix = "find_node=70, ping=20,find_value=10".parse().unwrap();
        let mut draw = Draw::new(2);
        let mut counts = [0_u32; 3];
        for _ in 0..100_000 {
            counts[mix.draw(&mut draw) as usize] += 1;
        }
        for (kind, expected) in [(0, 20_000_u32), (1, 70_000), (2, 10_000)] {
            assert!(counts[kind].abs_diff(expected) < 900, "{counts:?}");
        }
        assert_eq!("find_node".parse(), Ok(Mix::FIND_NODE));
    }

    #[test]
    fn a_bad_mix_is_refused_with_what_is_wrong() {
        for (text, why) in [("store=1", "store"), ("ping=x", "ping"), ("ping=0", "zero")] {
            assert!(text.parse::<Mix>().unwrap_err().contains(why), "{text}");
        }
        assert!("far".parse::<Keys>().unwrap_err().contains("far"));
    }

    #[test]
    fn near_targets_share_16_bits_with_the_node_19_times_in_20() {
        let node = Draw::new(9).id();
        let targets = Targets::new(Keys::Near, &node, &mut Draw::new(1));
        let near = targets.ids.iter().filter(|id| id.shared_prefix(&node) >= 16).count();
        assert!((61_000..63_500).contains(&near), "{near}");
    }
}
