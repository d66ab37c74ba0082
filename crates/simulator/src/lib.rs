//! **Simulator**: a client and a server on a simulated link, in virtual time, with real TLS bytes.
//!
//! ```text
//!   Entity ─ Connection ─ TLS ─┐    Link: trip, rate, Faults     ┌─ TLS ─ Connection ─ Registry
//!                              └─▶ bytes, in virtual time ──────▶┘
//!                                           │
//!                                           └─▶ Run: a Record for onetrip-trace, trips, bytes, milliseconds
//! ```
//!
//! [`Lab`] has all that two ends need; [`Lab::run`] lets them log in by a [`Strategy`] over a [`Link`], with
//! [`Faults`] if wanted, and returns what was written when, and how many one-way trips each moment took. Trips are
//! counted along the chain of causes, so that neither gaps nor slow links blur them (digest §4.1, §4.2).
//!
//! ```
//! use onetrip_simulator::{Lab, Settings, Strategy};
//!
//! let lab = Lab::new()?;
//! let quick = lab.run(&Strategy::named("c2s-quickstart-starttls-plain").unwrap(), &Settings::default())?;
//! let (_, one_way_trips) = quick.to_send.unwrap();
//! assert_eq!(one_way_trips, 6); // three round trips, TCP's included
//! # Ok::<(), onetrip_simulator::LabError>(())
//! ```
//!
//! A strategy that comes back is rehearsed as a login that is cut when it has been answered: the session and its token
//! are then with the client's [`Entity`](onetrip_core::Entity) and the server's
//! [`Registry`](onetrip_core::Registry).
//!
//! Between servers, dialback opens a second connection in the other direction; what is written there is labelled `verify:`.
//! What each of the two servers remembers of the other is kept in one [`Entity`](onetrip_core::Entity): their domains differ.
//!
//! [`accounts`] and [`certificates`] are the small server's decisions and identities, for others to use as well.

pub mod accounts;
mod agreed;
pub mod certificates;
mod clients;
mod end;
mod entropy;
mod link;
mod run;
mod servers;
mod strategy;
mod traffic;
mod world;

pub use agreed::agreement;
pub use entropy::Seeded;
pub use link::{Faults, Link};
pub use run::{ANSWERED, Lab, LabError, ONLINE, Run, Settings};
pub use strategy::{Answers, Carrier, Comeback, Historical, Login, Proof, Strategy};
pub use traffic::{Fate, Flow, Traffic};
