//! Namespaces: what a prefix means at this place of the document.
//!
//! Prefixes and namespace names are copied into one buffer, which shrinks when an element ends. The bindings are also
//! kept in the order of their prefixes, so that a look-up takes a logarithm of steps however many a peer declares.

use core::cmp::Ordering;

use super::Fault;
use crate::ns;

/// A piece of the buffer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: usize,
    end: usize,
}

#[derive(Debug, Clone, Copy)]
struct Binding {
    prefix: Span,
    namespace: Span,
}

/// What held before an element began.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    text: usize,
    bindings: usize,
    default: Span,
}

/// All declarations in force.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    text: Vec<u8>,
    bindings: Vec<Binding>,
    /// Indices of `bindings` by prefix, the innermost of equal ones last.
    sorted: Vec<usize>,
    default: Span,
}

impl Scopes {
    /// Those of a document that has not begun: `xml` alone.
    pub(super) fn new() -> Self {
        let mut scopes = Self {
            text: Vec::with_capacity(256),
            bindings: Vec::new(),
            sorted: Vec::new(),
            default: Span::default(),
        };
        scopes.restart();
        scopes
    }

    /// Those of another document.
    pub(super) fn restart(&mut self) {
        self.text.clear();
        self.text.extend_from_slice(ns::XML.as_bytes());
        self.bindings.clear();
        self.sorted.clear();
        self.default = Span::default();
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            text: self.text.len(),
            bindings: self.bindings.len(),
            default: self.default,
        }
    }

    /// Forgets what has been declared since.
    pub(super) fn release(&mut self, mark: Mark) {
        self.default = mark.default;
        while self.bindings.len() > mark.bindings {
            let last = self.bindings.pop().map(|binding| binding.prefix);
            let prefix = last.map_or(&[][..], |prefix| self.text(prefix));
            // The innermost of its prefix, since the later ones are gone.
            if let Some(place) = self.place(prefix).checked_sub(1) {
                self.sorted.remove(place);
            }
        }
        self.text.truncate(mark.text);
    }

    /// Declares the default namespace.
    pub(super) fn set_default(&mut self, namespace: &[u8]) {
        self.default = self.keep(namespace);
    }

    /// Declares a prefix in the element that began at `mark`.
    pub(super) fn declare(
        &mut self,
        mark: Mark,
        prefix: &[u8],
        namespace: &[u8],
    ) -> Result<(), Fault> {
        if self
            .find(prefix)
            .is_some_and(|index| index >= mark.bindings)
        {
            return Err(Fault::Twice);
        }
        self.bind(prefix, namespace);
        Ok(())
    }

    pub(super) fn bind(&mut self, prefix: &[u8], namespace: &[u8]) {
        let binding = Binding {
            prefix: self.keep(prefix),
            namespace: self.keep(namespace),
        };
        let place = self.place(prefix);
        self.sorted.insert(place, self.bindings.len());
        self.bindings.push(binding);
    }

    fn keep(&mut self, text: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        Span {
            start,
            end: self.text.len(),
        }
    }

    /// Behind the last binding whose prefix is not greater.
    fn place(&self, prefix: &[u8]) -> usize {
        self.sorted
            .partition_point(|index| self.prefix_at(*index).cmp(prefix) != Ordering::Greater)
    }

    fn prefix_at(&self, index: usize) -> &[u8] {
        self.bindings
            .get(index)
            .map_or(&[][..], |binding| self.text(binding.prefix))
    }

    /// The innermost binding of a prefix.
    fn find(&self, prefix: &[u8]) -> Option<usize> {
        let last = self.place(prefix).checked_sub(1)?;
        let index = *self.sorted.get(last)?;
        (self.prefix_at(index) == prefix).then_some(index)
    }

    /// The namespace of a prefix; `xml` has its own, which begins the buffer.
    pub(super) fn resolve(&self, prefix: &[u8]) -> Result<Span, Fault> {
        if prefix == b"xml" {
            let end = ns::XML.len();
            return Ok(Span { start: 0, end });
        }
        let found = self.find(prefix).and_then(|index| self.bindings.get(index));
        found.map(|binding| binding.namespace).ok_or(Fault::Prefix)
    }

    /// The default namespace; empty when there is none.
    pub(super) fn default(&self) -> Span {
        self.default
    }

    pub(super) fn text(&self, span: Span) -> &[u8] {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Gives back what a stanza with many declarations has taken.
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to(512);
        self.bindings.shrink_to(8);
        self.sorted.shrink_to(8);
    }
}
