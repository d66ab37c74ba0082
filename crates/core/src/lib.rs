//! wip
mod action;
mod c2s;
mod config;
mod connection;
mod entity;
mod error;
mod half;
mod order;
mod shell;
mod timers;
mod tls_info;
mod trace;

pub use action::{Action, Answer, End, EntityEvent, Event, Request};
pub use config::{Bounds, ClientConfig, ServerConfig};
pub use connection::Connection;
pub use entity::Entity;
pub use error::{Error, ErrorKind, UsageError};
pub use timers::{Deadline, Reason};
pub use tls_info::{TlsInfo, TlsVersion};
pub use trace::{Direction, Unit};

pub use onetrip_negotiation as negotiation;
pub use onetrip_quickstart as quickstart;
pub use onetrip_stream as stream;
pub use {bytes, minidom};
