//! Client to server: RFC 6120 §5 to §7 in one connection, in both roles.

mod initiator;
mod receiver;

pub(crate) use initiator::Initiator;
pub(crate) use receiver::Receiver;
