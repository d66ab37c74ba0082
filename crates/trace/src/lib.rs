//! **Trace**: a recorded exchange as a picture: text, SVG, Mermaid, or JSON to be drawn again.
//!
//! A [`Record`] holds what each party wrote, write by write and unit by unit, and when. [`ladder`] draws it: time
//! runs down, each write is one arrow, units that went together share a bracket, what went through TLS is
//! shaded, and every round trip begins a band of its own.
//!
//! ```text
//!        ms initiator                       receiver
//!           │┄┄ round trip 1 ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄│
//!      100  │┌ stream header                       │
//!           │└ starttls ──────────────────────────▶│
//!      150  │                       stream header ┐│
//!           │◀─────────────── features (starttls) ┘│
//! ```
//!
//! [`ladder_svg`] draws the same for pages, [`mermaid`] for those that draw it themselves. [`side_by_side_svg`] puts two
//! exchanges on one time axis, [`slope_svg`] shows what a longer link costs, [`phases_svg`] what overlapped. With the feature
//! `json` a record is written and read: `Record::to_json`, `Record::from_json`.
//!
//! The record comes from the tracing hook of [`onetrip_core::Connection`], which names units and never shows
//! what is in them.
//!
//! ```
//! use core::time::Duration;
//! use onetrip_trace::{ladder, Party, Record, Style, Write};
//!
//! let mut record = Record::new("a greeting");
//! record.writes.push(Write {
//!     from: Party::Initiator,
//!     at: Duration::from_millis(100),
//!     arrives: Duration::from_millis(150),
//!     half_trips: 2,
//!     units: vec!["stream header".into(), "starttls".into()],
//!     secured: false,
//!     bytes: 120,
//! });
//! let drawn = ladder(&record, &Style::default());
//! assert!(drawn.contains("┌ stream header") && drawn.contains("└ starttls"));
//! ```

#[cfg(feature = "json")]
mod json;
mod ladder;
mod mermaid;
mod record;
mod svg;

#[cfg(feature = "json")]
pub use json::JsonError;
pub use ladder::{Style, ladder};
pub use mermaid::mermaid;
pub use record::{Mark, Party, Record, Write};
pub use svg::{Line, ladder_svg, phases_svg, side_by_side_svg, slope_svg};
