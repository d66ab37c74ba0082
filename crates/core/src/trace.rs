//! The hook for recording an exchange: what was sent and received, unit by unit, without its secrets.

/// Which way a unit went, seen from the connection that reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// We wrote it.
    Sent,
    /// We read it.
    Received,
}

/// One stream header, first-level element or footer, named without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unit {
    /// Which way it went.
    pub direction: Direction,
    /// What it was, such as `stream header` or `auth SCRAM-SHA-1`: never a secret.
    pub label: String,
    /// Its length in bytes, below TLS; 0 for one that was read.
    pub bytes: usize,
    /// Whether it went through TLS.
    pub secured: bool,
}

impl Unit {
    /// A unit, for layers that report their own.
    #[must_use]
    pub fn new(direction: Direction, label: String, bytes: usize, secured: bool) -> Self {
        Self {
            direction,
            label,
            bytes,
            secured,
        }
    }
}

/// Names an element by what it is, and by attributes that hold no secret.
pub(crate) fn label(element: &minidom::Element) -> String {
    let name = element.name();
    if element.is("features", onetrip_stream::ns::STREAMS) {
        let offered: Vec<&str> = element.children().map(minidom::Element::name).collect();
        return if offered.is_empty() {
            "features".to_owned()
        } else {
            format!("features ({})", offered.join(", "))
        };
    }
    if element.is("error", onetrip_stream::ns::STREAMS) {
        return onetrip_stream::StreamError::from_element(element).map_or_else(
            || name.to_owned(),
            |error| format!("error {}", error.condition),
        );
    }
    match element.attr("mechanism") {
        Some(mechanism) => format!("{name} {mechanism}"),
        None => name.to_owned(),
    }
}

/// Names a stanza by its kind, its type and its first child.
pub(crate) fn stanza_label(stanza: &minidom::Element) -> String {
    let kind = stanza.name();
    let child = stanza
        .children()
        .next()
        .map(|child| format!(" {}", child.name()))
        .unwrap_or_default();
    match stanza.attr("type") {
        Some(type_) => format!("{kind} {type_}{child}"),
        None => format!("{kind}{child}"),
    }
}
