//! wip
pub mod accounts;
pub mod certificates;
mod end;
mod entropy;
mod link;
mod run;
mod strategy;

pub use entropy::Seeded;
pub use link::{Faults, Link};
pub use run::{ANSWERED, Lab, LabError, ONLINE, Run, Settings};
pub use strategy::{Historical, Login, Strategy};
