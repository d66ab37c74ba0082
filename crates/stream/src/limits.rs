//! How much a peer may make us read and hold.

/// Bounds on what a [`Reader`](crate::Reader) accepts. Each is met from both sides by a test.
///
/// The defaults are those for a peer that has authenticated; [`Limits::UNAUTHENTICATED`] is for before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a stream header, its XML declaration included.
    pub header: usize,
    /// Bytes of one first-level element, from its `<` to its `>`; RFC 6120 §13.12 asks for 10,000 at least. A stanza
    /// that is written anew in the safe form may become eight times as long, and no longer.
    pub element: usize,
    /// Bytes of one name or attribute value.
    pub token: usize,
    /// Bytes of white space inside of a tag, or between the XML declaration and the header, since something was last complete.
    pub silent: usize,
    /// Levels of nesting, the first-level element being level 1.
    pub depth: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes: usize,
    /// Elements inside one first-level element, itself included.
    pub elements: usize,
    /// Bytes of one namespace name.
    pub namespace: usize,
    /// Bytes of one element or attribute name.
    pub name: usize,
    /// Bytes read in total before authentication, over all stream restarts. Kept by whoever knows what
    /// authentication is: the core's connections.
    pub unauthenticated_total: usize,
}

impl Limits {
    /// For a peer that has authenticated: elements of 256 KiB.
    pub const AUTHENTICATED: Self = Self {
        header: 4096,
        element: 256 * 1024,
        token: 8192,
        silent: 16 * 1024,
        depth: 64,
        attributes: 256,
        elements: 4096,
        namespace: 1024,
        name: 256,
        unauthenticated_total: 64 * 1024,
    };

    /// For a peer that has not authenticated yet: elements of 10,000 bytes, the least RFC 6120 §13.12 allows.
    pub const UNAUTHENTICATED: Self = Self {
        element: 10_000,
        elements: 256,
        depth: 16,
        attributes: 64,
        namespace: 256,
        ..Self::AUTHENTICATED
    };

    /// For what has been read before.
    pub(crate) const NONE: Self = Self {
        header: usize::MAX,
        element: usize::MAX,
        token: usize::MAX,
        silent: usize::MAX,
        depth: usize::MAX,
        attributes: usize::MAX,
        elements: usize::MAX,
        namespace: usize::MAX,
        name: usize::MAX,
        unauthenticated_total: usize::MAX,
    };
}

impl Limits {
    /// The value of one of them.
    pub(crate) const fn of(&self, limit: Limit) -> usize {
        match limit {
            Limit::Header => self.header,
            Limit::Element => self.element,
            Limit::Token => self.token,
            Limit::Silent => self.silent,
            Limit::Depth => self.depth,
            Limit::Attributes => self.attributes,
            Limit::Elements => self.elements,
            Limit::Namespace => self.namespace,
            Limit::Name => self.name,
            Limit::UnauthenticatedTotal => self.unauthenticated_total,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::AUTHENTICATED
    }
}

/// Which of the [`Limits`] was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::header`].
    Header,
    /// [`Limits::element`].
    Element,
    /// [`Limits::token`].
    Token,
    /// [`Limits::silent`].
    Silent,
    /// [`Limits::depth`].
    Depth,
    /// [`Limits::attributes`].
    Attributes,
    /// [`Limits::elements`].
    Elements,
    /// [`Limits::namespace`].
    Namespace,
    /// [`Limits::name`].
    Name,
    /// [`Limits::unauthenticated_total`].
    UnauthenticatedTotal,
}

impl Limit {
    /// What the limit counts, for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "bytes in the stream header",
            Self::Element => "bytes in a first-level element",
            Self::Token => "bytes in a name or value",
            Self::Silent => "bytes without content",
            Self::Depth => "levels of nesting",
            Self::Attributes => "attributes of an element",
            Self::Elements => "elements in a first-level element",
            Self::Namespace => "bytes in a namespace name",
            Self::Name => "bytes in a name",
            Self::UnauthenticatedTotal => "bytes before authentication",
        }
    }
}

impl core::fmt::Display for Limit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}
