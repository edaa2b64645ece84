//! Fields of entries, each listed once for writing and for reading.

use kdht_core::{
    Answer, Command, Config, Families, Limits, Liveness, Local, Nanos, Note, Now, Request, Route,
    TableKind, ThrottleConfig, Timeouts, Value, ValuePublisher, ZONE_RANGES_MAX, ZoneRange, Zones,
};
use kdht_wire::{Contact, Endpoint, Filter, Id, KeyRing, NetworkKey, SALT_LEN, SignedTail};

/// An entry that is not what was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Damaged;

type Done = Result<(), Damaged>;

/// Where fields go to, or come from: a writer leaves what it is given as it is, a reader
/// overwrites it.
pub(super) trait Fields: Sized {
    fn raw(&mut self, bytes: &mut [u8]) -> Done;

    /// The length in 4 bytes, and so many bytes.
    fn bytes(&mut self, bytes: &mut Vec<u8>) -> Done;

    fn u8(&mut self, value: &mut u8) -> Done {
        self.raw(std::slice::from_mut(value))
    }

    fn u16(&mut self, value: &mut u16) -> Done {
        let mut bytes = value.to_le_bytes();
        self.raw(&mut bytes)?;
        *value = u16::from_le_bytes(bytes);
        Ok(())
    }

    fn u32(&mut self, value: &mut u32) -> Done {
        let mut bytes = value.to_le_bytes();
        self.raw(&mut bytes)?;
        *value = u32::from_le_bytes(bytes);
        Ok(())
    }

    fn u64(&mut self, value: &mut u64) -> Done {
        let mut bytes = value.to_le_bytes();
        self.raw(&mut bytes)?;
        *value = u64::from_le_bytes(bytes);
        Ok(())
    }

    fn bool(&mut self, value: &mut bool) -> Done {
        let mut byte = u8::from(*value);
        self.u8(&mut byte)?;
        *value = match byte {
            0 => false,
            1 => true,
            _ => return Err(Damaged),
        };
        Ok(())
    }

    /// Whether it is there, and what it is if it is.
    fn optional<T>(
        &mut self,
        value: &mut Option<T>,
        blank: T,
        each: impl FnOnce(&mut Self, &mut T) -> Done,
    ) -> Done {
        let mut is_there = value.is_some();
        self.bool(&mut is_there)?;
        if !is_there {
            *value = None;
            return Ok(());
        }
        each(self, value.get_or_insert(blank))
    }
}

pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Fields for Writer<'_> {
    fn raw(&mut self, bytes: &mut [u8]) -> Done {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn bytes(&mut self, bytes: &mut Vec<u8>) -> Done {
        let len = u32::try_from(bytes.len()).map_err(|_| Damaged)?;
        self.0.extend_from_slice(&len.to_le_bytes());
        self.raw(bytes)
    }
}

pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Fields for Reader<'_> {
    fn raw(&mut self, bytes: &mut [u8]) -> Done {
        let (taken, rest) = self.0.split_at_checked(bytes.len()).ok_or(Damaged)?;
        bytes.copy_from_slice(taken);
        self.0 = rest;
        Ok(())
    }

    fn bytes(&mut self, bytes: &mut Vec<u8>) -> Done {
        let mut len = 0;
        self.u32(&mut len)?;
        let len = usize::try_from(len).map_err(|_| Damaged)?;
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Damaged)?;
        *bytes = taken.to_vec();
        self.0 = rest;
        Ok(())
    }
}

pub(super) fn now(fields: &mut impl Fields, now: &mut Now) -> Done {
    fields.u64(&mut now.mono.0)?;
    fields.u32(&mut now.unix_s)
}

pub(super) const NO_TIME: Now = Now { mono: Nanos(0), unix_s: 0 };

pub(super) fn id(fields: &mut impl Fields, id: &mut Id) -> Done {
    fields.raw(&mut id.0)
}

pub(super) fn endpoint(fields: &mut impl Fields, endpoint: &mut Endpoint) -> Done {
    fields.raw(&mut endpoint.ip)?;
    let mut port = endpoint.port.to_bytes();
    fields.raw(&mut port)?;
    endpoint.port = u16::from_be_bytes(port).into();
    Ok(())
}

pub(super) fn route(fields: &mut impl Fields, route: &mut Route) -> Done {
    let Route { peer, local: Local { ip, socket } } = route;
    endpoint(fields, peer)?;
    fields.raw(ip)?;
    fields.u8(socket)
}

pub(super) fn endpoints(fields: &mut impl Fields, endpoints: &mut Vec<Endpoint>) -> Done {
    let mut count = u32::try_from(endpoints.len()).map_err(|_| Damaged)?;
    fields.u32(&mut count)?;
    for at in 0..usize::try_from(count).map_err(|_| Damaged)? {
        if at == endpoints.len() {
            endpoints.push(Endpoint::NONE);
        }
        endpoint(fields, &mut endpoints[at])?;
    }
    Ok(())
}

pub(super) fn keys(fields: &mut impl Fields, keys: &mut KeyRing) -> Done {
    let blank = NetworkKey { id: 0, secret: [0; 16] };
    let mut signing = keys.signing().copied();
    let mut verifying = keys.verifying().copied();
    for key in [&mut signing, &mut verifying] {
        fields.optional(key, blank, |fields, key| {
            fields.u8(&mut key.id)?;
            fields.raw(&mut key.secret)
        })?;
    }
    *keys = signing.map_or(KeyRing::OPEN, |signing| KeyRing::new(signing, verifying));
    Ok(())
}

fn contact(fields: &mut impl Fields, contact: &mut Contact) -> Done {
    id(fields, &mut contact.id)?;
    endpoint(fields, &mut contact.endpoint)?;
    let mut flags = contact.flags.get();
    fields.u16(&mut flags)?;
    contact.flags = flags.into();
    Ok(())
}

/// What another shard told.
pub(super) fn note(fields: &mut impl Fields, note: &mut Note) -> Done {
    let number = match note {
        Note::Sighted(_) => 1,
        Note::Answered(..) => 2,
        Note::Failed(..) => 3,
        Note::Standing(..) => 4,
        Note::Gone(_) => 5,
        Note::Anew => 6,
        Note::Heard(_) => 7,
        Note::Cell { .. } => 8,
        Note::Neighbourhood { .. } => 9,
        Note::Held { .. } => 10,
    };
    let blank = Contact::new(Id::ZERO, Endpoint::NONE);
    variant(fields, note, number, |number| {
        Some(match number {
            1 => Note::Sighted(blank),
            2 => Note::Answered(blank, Answer { rtt_us: 0, cookie: 0 }),
            3 => Note::Failed(blank, Nanos(0)),
            4 => Note::Standing(blank, Liveness::Unverified),
            5 => Note::Gone(blank),
            6 => Note::Anew,
            7 => Note::Heard(blank),
            8 => Note::Cell { is_v4: false, cell: 0, is_private: false },
            9 => Note::Neighbourhood { is_v4: false, depth: 0, is_crowded: false },
            10 => Note::Held { is_v4: false, count: 0 },
            _ => return None,
        })
    })?;
    match note {
        Note::Sighted(of) | Note::Gone(of) | Note::Heard(of) => contact(fields, of),
        Note::Answered(of, answer) => {
            contact(fields, of)?;
            fields.u32(&mut answer.rtt_us)?;
            fields.u64(&mut answer.cookie)
        }
        Note::Failed(of, sent) => {
            contact(fields, of)?;
            fields.u64(&mut sent.0)
        }
        Note::Standing(of, liveness) => {
            contact(fields, of)?;
            let number = match liveness {
                Liveness::Unverified => 1,
                Liveness::Good => 2,
                Liveness::Doubtful => 3,
                Liveness::Stale => 4,
            };
            variant(fields, liveness, number, |number| {
                Some(match number {
                    1 => Liveness::Unverified,
                    2 => Liveness::Good,
                    3 => Liveness::Doubtful,
                    4 => Liveness::Stale,
                    _ => return None,
                })
            })
        }
        Note::Anew => Ok(()),
        Note::Cell { is_v4, cell: byte, is_private: flag }
        | Note::Neighbourhood { is_v4, depth: byte, is_crowded: flag } => {
            fields.bool(is_v4)?;
            fields.u8(byte)?;
            fields.bool(flag)
        }
        Note::Held { is_v4, count } => {
            fields.bool(is_v4)?;
            fields.u32(count)
        }
    }
}

/// Which values proved themselves, if they were looked at.
pub(super) fn proven(fields: &mut impl Fields, proven: &mut Option<Vec<bool>>) -> Done {
    let mut is_there = proven.is_some();
    fields.bool(&mut is_there)?;
    let given = std::mem::take(proven).unwrap_or_default();
    let mut bytes = given.into_iter().map(u8::from).collect();
    if is_there {
        fields.bytes(&mut bytes)?;
        if bytes.iter().any(|byte| *byte > 1) {
            return Err(Damaged);
        }
        *proven = Some(bytes.into_iter().map(|byte| byte == 1).collect());
    }
    Ok(())
}

/// Every field by name, so that one that is added later is not forgotten here.
pub(super) fn config(fields: &mut impl Fields, config: &mut Config) -> Done {
    let Config {
        k,
        alpha,
        paths,
        b,
        bucket_group_max,
        table_group_max,
        caps_private,
        client,
        families: Families { v4, v6 },
        table,
        contacts_max,
        pending_max,
        operations_max,
        recursions_max,
        frequent_max,
        frequent_s,
        refresh_s,
        republish_s,
        republishes_max,
        handovers_max,
        zones: by_zone,
        signatures_per_s,
        verify_apart,
        accept_plain,
        forward,
        throttle: ThrottleConfig { slots, rate_per_s, burst },
        store,
        timeouts,
        keys: ring,
        shards,
        shard,
        advertise,
    } = config;
    for value in [k, alpha, paths, b, frequent_max, republishes_max, handovers_max] {
        fields.u8(value)?;
    }
    fields.bool(caps_private)?;
    fields.bool(client)?;
    fields.bool(v4)?;
    fields.bool(v6)?;
    table_kind(fields, table)?;
    for value in [
        contacts_max,
        pending_max,
        operations_max,
        recursions_max,
        bucket_group_max,
        table_group_max,
    ] {
        fields.u16(value)?;
    }
    for value in [signatures_per_s, frequent_s, refresh_s, republish_s] {
        fields.u32(value)?;
    }
    fields.bool(verify_apart)?;
    fields.bool(accept_plain)?;
    fields.bool(forward)?;
    for value in [slots, rate_per_s, burst] {
        fields.u32(value)?;
    }
    limits(fields, store)?;
    times(fields, timeouts)?;
    keys(fields, ring)?;
    fields.u8(shards)?;
    fields.u8(shard)?;
    for own in advertise {
        fields.optional(own, Endpoint::NONE, endpoint)?;
    }
    zones(fields, by_zone)
}

fn zones(fields: &mut impl Fields, zones: &mut Zones) -> Done {
    let mut ranges = zones.ranges().to_vec();
    // There are no more than ZONE_RANGES_MAX, which 16 bits hold.
    let mut count = u16::try_from(ranges.len()).map_err(|_| Damaged)?;
    fields.u16(&mut count)?;
    if usize::from(count) > ZONE_RANGES_MAX {
        return Err(Damaged);
    }
    ranges.resize(usize::from(count), ZoneRange::default());
    for ZoneRange { ip, bits, zone } in &mut ranges {
        let mut bytes = ip.to_be_bytes();
        fields.raw(&mut bytes)?;
        *ip = u128::from_be_bytes(bytes);
        fields.u8(bits)?;
        fields.u16(zone)?;
    }
    let mut replicas_max = zones.replicas_max;
    fields.u8(&mut replicas_max)?;
    *zones = Zones::new(&ranges, replicas_max);
    Ok(())
}

fn table_kind(fields: &mut impl Fields, table: &mut TableKind) -> Done {
    let number = match table {
        TableKind::KBucket => 1,
        TableKind::Wide(_) => 2,
    };
    variant(fields, table, number, |number| {
        Some(match number {
            1 => TableKind::KBucket,
            2 => TableKind::Wide(0),
            _ => return None,
        })
    })?;
    match table {
        TableKind::KBucket => Ok(()),
        TableKind::Wide(contacts) => fields.u32(contacts),
    }
}

fn limits(fields: &mut impl Fields, limits: &mut Limits) -> Done {
    let Limits {
        bytes_max,
        values_max,
        key_values_max,
        key_bytes_max,
        source_bytes_max,
        value_len_max,
        lifetime_s_max,
    } = limits;
    fields.u64(bytes_max)?;
    fields.u32(values_max)?;
    fields.u16(key_values_max)?;
    fields.u64(key_bytes_max)?;
    fields.u64(source_bytes_max)?;
    fields.u32(value_len_max)?;
    fields.u32(lifetime_s_max)
}

fn times(fields: &mut impl Fields, timeouts: &mut Timeouts) -> Done {
    let Timeouts {
        slow_ms_min,
        slow_ms_max,
        slow_ms_initial,
        fail_factor,
        fail_ms_min,
        fail_ms_max,
    } = timeouts;
    for value in [slow_ms_min, slow_ms_max, slow_ms_initial, fail_factor, fail_ms_min, fail_ms_max]
    {
        fields.u32(value)?;
    }
    Ok(())
}

/// Writes the number of what stands in `place`, or puts there what has the number read.
fn variant<T>(
    fields: &mut impl Fields,
    place: &mut T,
    number: u8,
    blank: impl FnOnce(u8) -> Option<T>,
) -> Done {
    let mut read = number;
    fields.u8(&mut read)?;
    if read != number {
        *place = blank(read).ok_or(Damaged)?;
    }
    Ok(())
}

pub(super) fn blank_command() -> Command {
    Command::FindNode { target: Id::ZERO }
}

pub(super) fn command(fields: &mut impl Fields, command: &mut Command) -> Done {
    let number = match command {
        Command::FindNode { .. } => 1,
        Command::FindValue { .. } => 2,
        Command::Put { .. } => 3,
        Command::Ask { .. } => 4,
    };
    variant(fields, command, number, |number| {
        let (key, filter, cas) = (Id::ZERO, Filter::Any, None);
        Some(match number {
            1 => blank_command(),
            2 => Command::FindValue { key, filter, values_max: 0, holders: 0 },
            3 => Command::Put { key, value: blank_value(), cas },
            4 => Command::Ask {
                endpoint: Endpoint::NONE,
                id: None,
                request: Request::Ping,
                recurse: false,
            },
            _ => return None,
        })
    })?;
    match command {
        Command::FindNode { target } => id(fields, target),
        Command::FindValue { key, filter, values_max, holders } => {
            id(fields, key)?;
            filter_of(fields, filter)?;
            fields.u16(values_max)?;
            fields.u8(holders)
        }
        Command::Put { key, value, cas } => put(fields, key, value, cas),
        Command::Ask { endpoint: asked, id: expected, request: wanted, recurse } => {
            endpoint(fields, asked)?;
            fields.optional(expected, Id::ZERO, id)?;
            request(fields, wanted)?;
            fields.bool(recurse)
        }
    }
}

fn request(fields: &mut impl Fields, request: &mut Request) -> Done {
    let number = match request {
        Request::Ping => 1,
        Request::FindNode { .. } => 2,
        Request::FindValue { .. } => 3,
        Request::Store { .. } => 4,
    };
    variant(fields, request, number, |number| {
        let (key, filter, cas) = (Id::ZERO, Filter::Any, None);
        Some(match number {
            1 => Request::Ping,
            2 => Request::FindNode { target: key },
            3 => Request::FindValue { key, filter, cursor: 0 },
            4 => Request::Store { key, value: blank_value(), cas },
            _ => return None,
        })
    })?;
    match request {
        Request::Ping => Ok(()),
        Request::FindNode { target } => id(fields, target),
        Request::FindValue { key, filter, cursor } => {
            id(fields, key)?;
            filter_of(fields, filter)?;
            fields.u16(cursor)
        }
        Request::Store { key, value, cas } => put(fields, key, value, cas),
    }
}

fn put(fields: &mut impl Fields, key: &mut Id, value: &mut Value, cas: &mut Option<u64>) -> Done {
    id(fields, key)?;
    publisher(fields, &mut value.publisher)?;
    fields.u32(&mut value.remaining_s)?;
    fields.bytes(&mut value.bytes)?;
    fields.optional(cas, 0, |fields, cas| fields.u64(cas))
}

fn blank_value() -> Value {
    Value { publisher: ValuePublisher::Immutable, remaining_s: 0, bytes: Vec::new() }
}

fn filter_of(fields: &mut impl Fields, filter: &mut Filter) -> Done {
    let number = match filter {
        Filter::Any => 0,
        Filter::Immutable => 1,
        Filter::Signed(_) => 2,
        Filter::Plain(_) => 3,
    };
    variant(fields, filter, number, |number| {
        Some(match number {
            0 => Filter::Any,
            1 => Filter::Immutable,
            2 => Filter::Signed([0; 32]),
            3 => Filter::Plain(Id::ZERO),
            _ => return None,
        })
    })?;
    match filter {
        Filter::Any | Filter::Immutable => Ok(()),
        Filter::Signed(key) => fields.raw(key),
        Filter::Plain(publisher) => id(fields, publisher),
    }
}

fn publisher(fields: &mut impl Fields, publisher: &mut ValuePublisher) -> Done {
    let number = match publisher {
        ValuePublisher::Immutable => 1,
        ValuePublisher::Signed(_) => 2,
        ValuePublisher::Plain(_) => 3,
    };
    variant(fields, publisher, number, |number| {
        Some(match number {
            1 => ValuePublisher::Immutable,
            2 => ValuePublisher::Signed(SignedTail {
                sequence: 0.into(),
                public_key: [0; 32],
                signature: [0; 64],
                salt: [0; SALT_LEN],
            }),
            3 => ValuePublisher::Plain(Id::ZERO),
            _ => return None,
        })
    })?;
    match publisher {
        ValuePublisher::Immutable => Ok(()),
        ValuePublisher::Signed(tail) => {
            let mut sequence = tail.sequence.get();
            fields.u64(&mut sequence)?;
            tail.sequence = sequence.into();
            fields.raw(&mut tail.public_key)?;
            fields.raw(&mut tail.signature)?;
            fields.raw(&mut tail.salt)
        }
        ValuePublisher::Plain(of) => id(fields, of),
    }
}
