//! Pictures as SVG: for pages, in light and dark, the same bytes for the same record.
//!
//! All text is monospaced, so that its width is known and nothing overlaps.

mod canvas;
mod ladder;
mod phases;
mod side_by_side;
mod slope;

pub use ladder::ladder_svg;
pub use phases::phases_svg;
pub use side_by_side::side_by_side_svg;
pub use slope::{Line, slope_svg};
