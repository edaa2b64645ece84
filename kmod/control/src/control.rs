//! The module's commands.

use std::os::fd::{AsRawFd, BorrowedFd};

use kdht_wire::{Contact, Id, KeyRing};
use neli::consts::genl::{CtrlAttr, CtrlAttrMcastGrp, CtrlCmd, Index};
use neli::consts::nl::{GenlId, NlmF};
use neli::genl::{GenlAttrHandle, Nlattr};
use neli::types::Buffer;
use zerocopy::{FromBytes, IntoBytes};

use crate::message::{Attributes, Link, attribute, nest};
use crate::numbers::{Attribute, Command, KeyAttribute, KeysAttribute};
use crate::{ControlError, FAMILY_NAME, FAMILY_VERSION, NodeStatus};

/// Contacts, entries or keys told at once; a message of them has at most about 20 KiB.
pub(crate) const TOLD_AT_ONCE: usize = 256;

/// The group that is told who asked.
const GROUP_SIGHTED: &str = "sighted";

/// The group that is told of what the module's routing found.
const GROUP_ROUTING: &str = "routing";

/// The address families' numbers on Linux.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// What of a node is to be changed; what is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Whether the module answers, or passes all to the daemon. It only answers for whom it
    /// has the cookie secret of.
    pub answer: Option<bool>,
    /// Contacts in a reply: 1 to 20.
    pub k: Option<u8>,
    /// Longest value that the daemon holds, in bytes; FAULTs tell it.
    pub value_len_max: Option<u32>,
    /// What the daemon's cookies follow from. Can be told once.
    pub cookie_secret: Option<[u8; 16]>,
    /// The network's keys.
    pub keys: Option<KeyRing>,
    /// What one source may ask: units a second, and units saved up.
    pub allowance: Option<(u32, u32)>,
    /// Whether the routing table is the module's, or the daemon's.
    pub routing: Option<bool>,
    /// How the module's routing goes about it.
    pub rules: Option<Rules>,
}

/// How the module's routing goes about it; each as the engine's configuration has it.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Requests of one lookup in flight: 1 to 20.
    pub alpha: u8,
    /// Bits of distance that a step of a lookup gains at least: 1 to 5. Cannot change while the
    /// table is the module's.
    pub b: u8,
    /// Contacts of one IP group in one bucket, replacements included.
    pub bucket_group_max: u16,
    /// Contacts of one IP group in one table.
    pub table_group_max: u16,
    /// Whether private addresses count for their IP group in a keyed network, too.
    pub caps_private: bool,
    /// Seconds without a lookup in a range after which it is refreshed; 0: never.
    pub refresh_s: u32,
}

/// The loaded module, as far as this process may control it.
#[derive(Debug)]
pub struct Control {
    link: Link,
    family: u16,
    /// The group that is told who asked.
    sighted: u32,
    /// The group that is told of what the module's routing found.
    routing: u32,
}

impl Control {
    /// Finds the module.
    ///
    /// # Errors
    /// [`ControlError::Missing`] or [`ControlError::Version`], each with what to do.
    pub fn open() -> Result<Self, ControlError> {
        let link = Link::open()?;
        let name = [FAMILY_NAME.as_bytes(), &[0]].concat();
        let wanted = [attribute(CtrlAttr::FamilyName, &name)?].into_iter().collect();
        let answers = link.ask(GenlId::Ctrl.into(), CtrlCmd::Getfamily, 2, NlmF::empty(), wanted);
        let answers: Vec<Attributes<CtrlAttr>> = match answers {
            Err(ControlError::Refused { error, .. })
                if error.kind() == std::io::ErrorKind::NotFound =>
            {
                return Err(ControlError::Missing);
            }
            answers => answers?,
        };
        let found = answers.first().ok_or(ControlError::Missing)?.get_attr_handle();
        let version = found.get_attr_payload_as::<u32>(CtrlAttr::Version).unwrap_or(0);
        if version < u32::from(FAMILY_VERSION) {
            return Err(ControlError::Version(u8::try_from(version).unwrap_or(0)));
        }
        let family = found.get_attr_payload_as::<u16>(CtrlAttr::FamilyId);
        let family = family.map_err(|_| ControlError::Answer("family"))?;
        let group = |name| group_of(&found, name).ok_or(ControlError::Answer("group"));
        let (sighted, routing) = (group(GROUP_SIGHTED)?, group(GROUP_ROUTING)?);
        Ok(Self { link, family, sighted, routing })
    }

    pub(crate) fn sighted_group(&self) -> u32 {
        self.sighted
    }

    pub(crate) fn routing_group(&self) -> u32 {
        self.routing
    }

    /// Lets node `id` answer on a UDP socket of this process. The first socket begins the
    /// node, which remembers `throttle_slots` sources (nothing: 4,096) and passes all to the
    /// daemon until it is told to answer.
    ///
    /// # Errors
    /// [`ControlError::Refused`]: the socket is of another kind (`EPROTONOSUPPORT`) or
    /// another namespace (`EXDEV`), taken (`EBUSY`), or one too many (`ENOSPC`).
    pub fn attach(
        &self,
        id: &Id,
        socket: BorrowedFd<'_>,
        throttle_slots: Option<u32>,
    ) -> Result<(), ControlError> {
        let fd = socket.as_raw_fd().cast_unsigned();
        let mut attributes = vec![of_id(id)?, attribute(Attribute::Fd, &fd.to_ne_bytes())?];
        if let Some(slots) = throttle_slots {
            attributes.push(attribute(Attribute::ThrottleSlots, &slots.to_ne_bytes())?);
        }
        self.tell(Command::Attach, attributes)
    }

    /// Leaves one socket of a node, or all of them, to the daemon alone. A node without
    /// sockets is gone.
    ///
    /// # Errors
    /// [`ControlError::Refused`] if there is no such node, or no such socket of it.
    pub fn detach(&self, id: &Id, socket: Option<BorrowedFd<'_>>) -> Result<(), ControlError> {
        let mut attributes = vec![of_id(id)?];
        if let Some(socket) = socket {
            let fd = socket.as_raw_fd().cast_unsigned();
            attributes.push(attribute(Attribute::Fd, &fd.to_ne_bytes())?);
        }
        self.tell(Command::Detach, attributes)
    }

    /// Changes a node, all at once or not at all.
    ///
    /// # Errors
    /// [`ControlError::Refused`], which says what is wrong.
    pub fn set(&self, id: &Id, settings: &Settings) -> Result<(), ControlError> {
        let mut attributes = vec![of_id(id)?];
        let mut add = |kind, bytes: &[u8]| -> Result<(), ControlError> {
            attributes.push(attribute(kind, bytes)?);
            Ok(())
        };
        if let Some(answer) = settings.answer {
            add(Attribute::Answer, &[u8::from(answer)])?;
        }
        if let Some(k) = settings.k {
            add(Attribute::K, &[k])?;
        }
        if let Some(len) = settings.value_len_max {
            add(Attribute::ValueLenMax, &len.to_ne_bytes())?;
        }
        if let Some(secret) = settings.cookie_secret {
            add(Attribute::CookieSecret, &secret)?;
        }
        if let Some((rate_per_s, burst)) = settings.allowance {
            add(Attribute::ThrottleRate, &rate_per_s.to_ne_bytes())?;
            add(Attribute::ThrottleBurst, &burst.to_ne_bytes())?;
        }
        if let Some(rules) = settings.rules {
            add(Attribute::Alpha, &[rules.alpha])?;
            add(Attribute::B, &[rules.b])?;
            add(Attribute::BucketGroupMax, &rules.bucket_group_max.to_ne_bytes())?;
            add(Attribute::TableGroupMax, &rules.table_group_max.to_ne_bytes())?;
            add(Attribute::CapsPrivate, &[u8::from(rules.caps_private)])?;
            add(Attribute::RefreshS, &rules.refresh_s.to_ne_bytes())?;
        }
        if let Some(routing) = settings.routing {
            add(Attribute::Routing, &[u8::from(routing)])?;
        }
        if let Some(ring) = settings.keys {
            attributes.push(of_ring(&ring)?);
        }
        self.tell(Command::NodeSet, attributes)
    }

    /// Lets a node tell others of `contacts` from now on; a known id's endpoint is replaced.
    ///
    /// # Errors
    /// [`ControlError::Refused`] at the first contact that is not held: the own id, or one
    /// more than a table takes. Those before it are.
    pub fn add_contacts(&self, id: &Id, contacts: &[Contact]) -> Result<(), ControlError> {
        contacts.chunks(TOLD_AT_ONCE).try_for_each(|some| {
            let told = some.iter().map(|c| attribute(Attribute::Contact, c.as_bytes()));
            let attributes: Result<Vec<_>, _> = [of_id(id)].into_iter().chain(told).collect();
            self.tell(Command::ContactAdd, attributes?)
        })
    }

    /// Lets a node tell nobody of a contact any more.
    ///
    /// # Errors
    /// [`ControlError::Refused`] if it is not there.
    pub fn remove_contact(&self, id: &Id, contact: &Contact) -> Result<(), ControlError> {
        let attributes = of_table(id, contact.endpoint.is_v4(), &contact.id)?;
        self.tell(Command::ContactDel, attributes)
    }

    /// The contacts of one family that a node tells of closest to `target`, sorted by id.
    ///
    /// # Errors
    /// [`ControlError::Refused`] if there is no such node.
    pub fn closest(&self, id: &Id, is_v4: bool, target: &Id) -> Result<Vec<Contact>, ControlError> {
        let attributes = of_table(id, is_v4, target)?.into_iter().collect();
        let answers = self.ask(Command::Closest, NlmF::empty(), attributes)?;
        let contacts = answers.iter().flat_map(Attributes::iter);
        contacts
            .filter(|attribute| *attribute.nla_type().nla_type() == Attribute::Contact)
            .map(read_contact)
            .collect()
    }

    /// Begins a generation of the filter of keys that values are held under, the first time
    /// with so many bits (nothing: 2²⁰; rounded up to a power of two). From now on it has the
    /// key of every STORE that reaches the daemon by UDP in the native format. A generation
    /// takes out the keys of the last but one, which may be gone.
    ///
    /// # Errors
    /// [`ControlError::Refused`] if there is no such node, or no memory.
    pub fn begin_filter(&self, id: &Id, bits: Option<u32>) -> Result<(), ControlError> {
        let mut attributes = vec![of_id(id)?];
        if let Some(bits) = bits {
            attributes.push(attribute(Attribute::FilterBits, &bits.to_ne_bytes())?);
        }
        self.tell(Command::FilterBegin, attributes)
    }

    /// Adds keys to the filter. To be called for a value that came otherwise than by such a
    /// STORE before anybody is told that it is held.
    ///
    /// # Errors
    /// [`ControlError::Refused`] if there is no such node, or no filter was begun.
    pub fn add_keys(&self, id: &Id, keys: &[Id]) -> Result<(), ControlError> {
        self.tell_keys(Command::FilterAdd, id, keys)
    }

    /// Lets the module answer FIND_VALUE for keys that are not in the filter. Only to be
    /// called when every key that is held was added since [`Control::begin_filter`], and all
    /// datagrams were served that had arrived when it returned.
    ///
    /// # Errors
    /// [`ControlError::Refused`] if there is no such node, or no filter was begun.
    pub fn complete_filter(&self, id: &Id) -> Result<(), ControlError> {
        self.tell(Command::FilterComplete, vec![of_id(id)?])
    }

    /// Lets the module answer with all values under `key`: `records` as on the wire, one
    /// after another, cursors rising, values that do not travel in datagrams announced; at
    /// most 16,000 bytes. Their `remaining_s` count from second `now_s` of the monotonic
    /// clock. They are answered until the first of them has no life left, a STORE for the
    /// key is passed, or they are taken back.
    ///
    /// # Errors
    /// [`ControlError::Refused`]: no records, or none with any life left (`EINVAL`), or more
    /// than 4 MiB in all (`ENOSPC`); what was published under the key is taken back.
    pub fn publish(
        &self,
        id: &Id,
        key: &Id,
        records: &[u8],
        now_s: u32,
    ) -> Result<(), ControlError> {
        let attributes = vec![
            of_id(id)?,
            attribute(Attribute::Target, &key.0)?,
            attribute(Attribute::Records, records)?,
            attribute(Attribute::PublishedS, &now_s.to_ne_bytes())?,
        ];
        self.tell(Command::Publish, attributes)
    }

    /// Takes back what was published under `keys`. To be called before a change of what is
    /// held under a key is acknowledged.
    ///
    /// # Errors
    /// [`ControlError::Refused`] if there is no such node.
    pub fn unpublish(&self, id: &Id, keys: &[Id]) -> Result<(), ControlError> {
        self.tell_keys(Command::Unpublish, id, keys)
    }

    /// What the module tells of one node.
    ///
    /// # Errors
    /// [`ControlError::Refused`] if there is no such node.
    pub fn node(&self, id: &Id) -> Result<NodeStatus, ControlError> {
        let attributes = [of_id(id)?].into_iter().collect();
        let answers = self.ask(Command::NodeGet, NlmF::empty(), attributes)?;
        NodeStatus::read(answers.first().ok_or(ControlError::Answer("node"))?)
    }

    /// Every node of this network namespace.
    ///
    /// # Errors
    /// [`ControlError::Refused`] without the right to ask.
    pub fn nodes(&self) -> Result<Vec<NodeStatus>, ControlError> {
        let answers = self.ask(Command::NodeGet, NlmF::DUMP, Attributes::new())?;
        answers.iter().map(NodeStatus::read).collect()
    }

    fn tell_keys(&self, command: Command, id: &Id, keys: &[Id]) -> Result<(), ControlError> {
        keys.chunks(TOLD_AT_ONCE).try_for_each(|some| {
            let told = some.iter().map(|key| attribute(Attribute::Target, &key.0));
            let attributes: Result<Vec<_>, _> = [of_id(id)].into_iter().chain(told).collect();
            self.tell(command, attributes?)
        })
    }

    pub(crate) fn tell(
        &self,
        command: Command,
        attributes: Vec<Nlattr<Attribute, Buffer>>,
    ) -> Result<(), ControlError> {
        self.ask(command, NlmF::empty(), attributes.into_iter().collect()).map(|_| ())
    }

    pub(crate) fn ask(
        &self,
        command: Command,
        flags: NlmF,
        attributes: Attributes<Attribute>,
    ) -> Result<Vec<Attributes<Attribute>>, ControlError> {
        self.link.ask(self.family, command, FAMILY_VERSION, flags, attributes)
    }
}

/// The number of the group with this name.
fn group_of(family: &GenlAttrHandle<'_, CtrlAttr>, wanted: &str) -> Option<u32> {
    let groups = family.get_nested_attributes::<Index>(CtrlAttr::McastGroups).ok()?;
    groups.iter().find_map(|group| {
        let group = group.get_attr_handle::<CtrlAttrMcastGrp>().ok()?;
        let name = group.get_attr_payload_as_with_len::<String>(CtrlAttrMcastGrp::Name).ok()?;
        let number = group.get_attr_payload_as::<u32>(CtrlAttrMcastGrp::Id).ok()?;
        (name == wanted).then_some(number)
    })
}

pub(crate) fn read_contact<A>(attribute: &Nlattr<A, Buffer>) -> Result<Contact, ControlError> {
    let bytes: &[u8] = attribute.nla_payload().as_ref();
    Contact::read_from_bytes(bytes).map_err(|_| ControlError::Answer("whole contact"))
}

pub(crate) fn read_id(attribute: &Nlattr<Attribute, Buffer>) -> Result<Id, ControlError> {
    let bytes: &[u8] = attribute.nla_payload().as_ref();
    Id::read_from_bytes(bytes).map_err(|_| ControlError::Answer("whole id"))
}

pub(crate) fn of_id(id: &Id) -> Result<Nlattr<Attribute, Buffer>, ControlError> {
    attribute(Attribute::Id, &id.0)
}

pub(crate) fn of_table(
    id: &Id,
    is_v4: bool,
    target: &Id,
) -> Result<Vec<Nlattr<Attribute, Buffer>>, ControlError> {
    let family = if is_v4 { AF_INET } else { AF_INET6 };
    Ok(vec![
        of_id(id)?,
        attribute(Attribute::Family, &family.to_ne_bytes())?,
        attribute(Attribute::Target, &target.0)?,
    ])
}

fn of_ring(ring: &KeyRing) -> Result<Nlattr<Attribute, Buffer>, ControlError> {
    let keys = [ring.signing(), ring.verifying()].into_iter().flatten().map(|key| {
        let id = attribute(KeyAttribute::Id, &[key.id])?;
        let secret = attribute(KeyAttribute::Secret, &key.secret)?;
        nest(KeysAttribute::Key, &[id, secret])
    });
    let keys: Result<Vec<_>, _> = keys.collect();
    nest(Attribute::Keys, &keys?)
}
