//! A second parser, read off FORMAT.md with plain offsets and no regard to speed: what the
//! crate's own is held against.

/// The verdict on `bytes` as one message of at most `len_max` bytes: `ok`, or the name of
/// the first check of FORMAT.md §10 that fails.
pub(crate) fn verdict(bytes: &[u8], len_max: usize) -> &'static str {
    check(bytes, len_max).err().unwrap_or("ok")
}

fn check(bytes: &[u8], len_max: usize) -> Result<(), &'static str> {
    require(bytes.len() <= len_max, "Oversize")?;
    require(bytes.len() >= 24, "Short")?;
    require(bytes[0] == b'K' && bytes[1] == b'D', "Magic")?;
    require(bytes[2] == 1, "Version")?;
    require(bytes.len() >= 72, "Short")?;
    let is_reply = bytes[4] & 0x01 != 0;
    let mac_len = if bytes[4] & 0x80 != 0 { 8 } else { 0 };
    let body_len = usize::try_from(number(&bytes[8..12])).unwrap();
    require(bytes.len() == 72 + body_len + mac_len, "Length")?;
    require(bytes[5] & 0x0f == 0, "Reserved")?;
    require((1..=5).contains(&bytes[3]), "Kind")?;

    let (kind, arg) = (bytes[3], bytes[7]);
    let mut body = Reader { bytes: &bytes[72..72 + body_len] };
    match (kind, is_reply) {
        (5, false) => return Err("FaultRequest"),
        (5, true) => require((1..=17).contains(&arg), "FaultCode")?,
        (3, false) => {
            let fixed = body.take(36, "Body")?;
            require(fixed[3] == 0, "Reserved")?;
            require(fixed[2] <= 3, "Filter")?;
        }
        (4, false) => {
            body.take(8, "Body")?;
            require(!record(&mut body)?, "Store")?;
        }
        (_, false) => {}
        (_, true) => {
            let fixed = body.take(20, "Body")?;
            let total = number(&fixed[18..20]);
            match kind {
                4 => require((1..=3).contains(&arg), "Store")?,
                3 if total > 0 => {
                    for _ in 0..arg {
                        record(&mut body)?;
                    }
                }
                2 | 3 => contacts(&mut body, arg)?,
                _ => {}
            }
        }
    }
    extensions(&mut body)
}

fn contacts(body: &mut Reader<'_>, count: u8) -> Result<(), &'static str> {
    let all = body.take(40 * usize::from(count), "Items")?;
    let reserved = all.chunks(40).any(|contact| contact[38] != 0);
    require(!reserved, "Reserved")
}

/// Steps over a record and tells whether it is announced.
fn record(body: &mut Reader<'_>) -> Result<bool, &'static str> {
    let head = body.take(12, "Items")?;
    require(head[9] & 0x0e == 0, "Reserved")?;
    match head[8] {
        1 => {}
        2 => drop(body.take(120, "Items")?),
        3 => drop(body.take(20, "Items")?),
        _ => return Err("ValueKind"),
    }
    let value_len = usize::try_from(number(&head[0..4])).unwrap();
    require(value_len <= 1_048_576, "ValueLength")?;
    let announced = head[9] & 1 != 0;
    body.take(if announced { 0 } else { value_len }, "Items")?;
    Ok(announced)
}

fn extensions(body: &mut Reader<'_>) -> Result<(), &'static str> {
    let mut count = 0;
    while !body.bytes.is_empty() {
        count += 1;
        require(count <= 8, "ExtensionCount")?;
        let head = body.take(4, "Extension")?;
        let data_len = usize::try_from(number(&head[2..4])).unwrap();
        let data = body.take(data_len, "Extension")?;
        match number(&head[0..2]) {
            0 => require(data.iter().all(|byte| *byte == 0), "Padding")?,
            1 => {
                require(data_len == 40, "Extension")?;
                require(data[35] == 0 && data[34] <= 8, "Reserved")?;
            }
            _ => {}
        }
    }
    Ok(())
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize, or: &'static str) -> Result<&'a [u8], &'static str> {
        require(self.bytes.len() >= len, or)?;
        let (taken, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        Ok(taken)
    }
}

/// A little-endian number.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number * 256 + u64::from(*byte))
}

fn require(holds: bool, or: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(or) }
}
