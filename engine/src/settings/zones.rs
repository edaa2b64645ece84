//! Zones as an operator writes them: `CIDR=NAME`, such as `10.1.0.0/16=rack1`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use kdht_core::{ZoneRange, Zones};

/// Bits before an IPv4 address where it is mapped into IPv6.
const V4_BITS: u8 = 96;

/// One range of addresses, and the name of its zone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedRange {
    ip: IpAddr,
    bits: u8,
    name: String,
}

impl NamedRange {
    fn start(&self) -> (u128, u8) {
        match self.ip {
            IpAddr::V4(ip) => (u128::from(ip.to_ipv6_mapped()), self.bits + V4_BITS),
            IpAddr::V6(ip) => (u128::from(ip), self.bits),
        }
    }
}

impl FromStr for NamedRange {
    /// What it must be.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "CIDR=NAME, such as 10.1.0.0/16=rack1";
        let (cidr, name) = text.split_once('=').ok_or(FORM)?;
        let (ip, bits) = cidr.trim().split_once('/').ok_or(FORM)?;
        let (ip, name) = (ip.parse::<IpAddr>().map_err(|_| FORM)?, name.trim());
        let bits_max = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse().ok().filter(|bits| *bits <= bits_max);
        let bits = bits.ok_or("a prefix of 0 to 32 bits, of IPv6 to 128")?;
        if name.is_empty() {
            return Err(FORM);
        }
        let range = Self { ip, bits, name: name.to_owned() };
        let (start, bits) = range.start();
        if start.checked_shl(u32::from(bits)).unwrap_or(0) != 0 {
            return Err("a network's first address: the bits behind the prefix are zero");
        }
        Ok(range)
    }
}

impl fmt::Display for NamedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}={}", self.ip, self.bits, self.name)
    }
}

/// Whether the same addresses are said to be in two zones.
pub(super) fn contradiction(ranges: &[NamedRange]) -> Option<&NamedRange> {
    let is_other = |one: &NamedRange, other: &NamedRange| {
        one.start() == other.start() && one.name != other.name
    };
    let behind = |at: usize| ranges[..at].iter().any(|before| is_other(before, &ranges[at]));
    (0..ranges.len()).find(|at| behind(*at)).map(|at| &ranges[at])
}

/// The ranges as the core has them; names are numbered as they come.
pub(super) fn zones_of(ranges: &[NamedRange], replicas_max: u8) -> Zones {
    let mut names: Vec<&str> = Vec::new();
    let numbered = ranges.iter().map(|range| {
        let known = names.iter().position(|name| *name == range.name);
        let at = known.unwrap_or_else(|| {
            names.push(&range.name);
            names.len() - 1
        });
        let (ip, bits) = range.start();
        // There are no more zones than ranges, whose number 16 bits hold.
        ZoneRange { ip, bits, zone: u16::try_from(at).unwrap_or(u16::MAX) }
    });
    let numbered: Vec<ZoneRange> = numbered.collect();
    Zones::new(&numbered, replicas_max)
}
