//! Netlink messages: made, sent, and their answers awaited.

use std::fmt::Debug;

use neli::consts::genl::{Cmd, NlAttrType};
use neli::consts::nl::{NlmF, Nlmsg};
use neli::consts::socket::NlFamily;
use neli::err::{Nlmsgerr, NlmsghdrErr};
use neli::genl::{AttrTypeBuilder, Genlmsghdr, GenlmsghdrBuilder, Nlattr, NlattrBuilder};
use neli::nl::{NlPayload, Nlmsghdr, NlmsghdrBuilder};
use neli::socket::synchronous::NlSocketHandle;
use neli::types::{Buffer, GenlBuffer};
use neli::utils::Groups;

use crate::ControlError;

/// The attributes of one message.
pub(crate) type Attributes<A> = GenlBuffer<A, Buffer>;

/// The kernel's attribute that tells in words what an error is about.
const EXT_ACK_MESSAGE: u16 = 1;

/// One attribute from its bytes.
pub(crate) fn attribute<A: NlAttrType>(
    kind: A,
    bytes: &[u8],
) -> Result<Nlattr<A, Buffer>, ControlError> {
    let kind = AttrTypeBuilder::default().nla_type(kind).build().map_err(socket_error)?;
    NlattrBuilder::default().nla_type(kind).nla_payload(bytes).build().map_err(socket_error)
}

/// One attribute that holds others.
pub(crate) fn nest<A: NlAttrType, B: NlAttrType>(
    kind: A,
    inner: &[Nlattr<B, Buffer>],
) -> Result<Nlattr<A, Buffer>, ControlError> {
    let nested = AttrTypeBuilder::default().nla_type(kind).nla_nested(true);
    let kind = nested.build().map_err(socket_error)?;
    let empty: &[u8] = &[];
    let outer = NlattrBuilder::default().nla_type(kind).nla_payload(empty).build();
    let outer = outer.map_err(socket_error)?;
    inner.iter().try_fold(outer, |outer, attribute| outer.nest(attribute).map_err(socket_error))
}

/// A generic netlink socket, asked one thing at a time.
pub(crate) struct Link {
    socket: NlSocketHandle,
}

impl Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link {}", self.socket.pid())
    }
}

impl Link {
    pub(crate) fn open() -> Result<Self, ControlError> {
        let socket = NlSocketHandle::connect(NlFamily::Generic, None, Groups::empty());
        let socket = socket.map_err(socket_error)?;
        socket.enable_ext_ack(true).map_err(socket_error)?;
        Ok(Self { socket })
    }

    /// Listens to what is told to a group from now on.
    pub(crate) fn join(&self, group: u32) -> Result<(), ControlError> {
        self.socket.add_mcast_membership(Groups::new_groups(&[group])).map_err(socket_error)
    }

    /// Waits for what is told, and returns the attributes of each message.
    pub(crate) fn listen<C, A>(&self) -> Result<Vec<Attributes<A>>, ControlError>
    where
        C: Cmd + Debug,
        A: NlAttrType + Debug,
    {
        let (messages, _) = self.socket.recv::<u16, Genlmsghdr<C, A>>().map_err(socket_error)?;
        let mut told = Vec::new();
        for message in messages {
            if let NlPayload::Payload(payload) = message.map_err(socket_error)?.nl_payload() {
                told.push(payload.attrs().clone());
            }
        }
        Ok(told)
    }

    /// Sends one command and returns the attributes of each answer.
    pub(crate) fn ask<C, A>(
        &self,
        family: u16,
        command: C,
        version: u8,
        flags: NlmF,
        attributes: Attributes<A>,
    ) -> Result<Vec<Attributes<A>>, ControlError>
    where
        C: Cmd + Debug,
        A: NlAttrType + Debug,
    {
        let payload = GenlmsghdrBuilder::default()
            .cmd(command)
            .version(version)
            .attrs(attributes)
            .build()
            .map_err(socket_error)?;
        let message = NlmsghdrBuilder::default()
            .nl_type(family)
            .nl_flags(NlmF::REQUEST | NlmF::ACK | flags)
            .nl_payload(NlPayload::Payload(payload))
            .build()
            .map_err(socket_error)?;
        self.socket.send(&message).map_err(socket_error)?;
        let mut answers = Vec::new();
        loop {
            let (messages, _) =
                self.socket.recv::<u16, Genlmsghdr<C, A>>().map_err(socket_error)?;
            for message in messages {
                let message = message.map_err(socket_error)?;
                if is_last(&message)? {
                    return Ok(answers);
                }
                if let NlPayload::Payload(payload) = message.nl_payload() {
                    answers.push(payload.attrs().clone());
                }
            }
        }
    }
}

/// Whether nothing follows: every command asks for an acknowledgement, and a dump ends by
/// itself.
fn is_last<P>(message: &Nlmsghdr<u16, P>) -> Result<bool, ControlError> {
    match message.nl_payload() {
        NlPayload::Ack(_) | NlPayload::DumpExtAck(_) => Ok(true),
        NlPayload::Err(error) => Err(refused(error)),
        _ => Ok(*message.nl_type() == u16::from(Nlmsg::Done)),
    }
}

fn refused<P>(error: &Nlmsgerr<NlmsghdrErr<u16, P>>) -> ControlError {
    let mut words = error.ext_ack().iter();
    let message = words.find(|attribute| u16::from(attribute.nla_type()) == EXT_ACK_MESSAGE);
    let text = message.map(|attribute| {
        String::from_utf8_lossy(attribute.nla_payload().as_ref()).trim_end_matches('\0').to_owned()
    });
    ControlError::Refused {
        error: std::io::Error::from_raw_os_error(-error.error()),
        message: text,
    }
}

pub(crate) fn socket_error(error: impl std::fmt::Display) -> ControlError {
    ControlError::Socket(error.to_string())
}
