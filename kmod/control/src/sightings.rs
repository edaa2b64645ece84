//! Who asked a node of the module.

use kdht_wire::{Contact, Id};

use crate::ControlError;
use crate::control::{Control, read_contact, read_id};
use crate::message::Link;
use crate::numbers::{Attribute, Command};

/// Nodes that asked, of this network namespace: what a daemon would have met, had it answered
/// itself. Clients are not told of, nobody within 30 s twice, and whoever listens too slowly
/// misses some.
#[derive(Debug)]
pub struct Sightings {
    link: Link,
}

/// Nodes that asked one node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Told {
    /// Whom they asked.
    pub node: Id,
    /// Who they say they are, and where they asked from: neither is verified.
    pub askers: Vec<Contact>,
}

impl Sightings {
    /// Listens from now on.
    ///
    /// # Errors
    /// [`ControlError::Socket`] without `CAP_NET_ADMIN`.
    pub fn listen(control: &Control) -> Result<Self, ControlError> {
        let link = Link::open()?;
        link.join(control.sighted_group())?;
        Ok(Self { link })
    }

    /// Waits for the next ones, up to 128 of one node at once.
    ///
    /// # Errors
    /// [`ControlError::Socket`] where some were missed: what follows can be waited for again.
    pub fn wait(&self) -> Result<Vec<Told>, ControlError> {
        let messages = self.link.listen::<Command, Attribute>()?;
        let told = messages.iter().map(|attributes| {
            let mut told = Told { node: Id::ZERO, askers: Vec::new() };
            for attribute in attributes.iter() {
                match attribute.nla_type().nla_type() {
                    Attribute::Id => told.node = read_id(attribute)?,
                    Attribute::Contact => told.askers.push(read_contact(attribute)?),
                    _ => {}
                }
            }
            Ok(told)
        });
        told.collect()
    }
}
