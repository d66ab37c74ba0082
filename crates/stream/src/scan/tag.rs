//! The start tag that is being read, and what it says when its `>` has come.

use core::cmp::Ordering;
use core::ops::Range;
use std::borrow::Cow;

use super::name::Name;
use super::scopes::{Mark, Scopes, Span};
use super::{Fault, text};
use crate::{Limit, Limits, ns};

/// Up to here attributes are compared in pairs, above they are sorted: no tag costs the square of its length.
const FEW: usize = 8;

#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    name: Name,
    namespace: Span,
    value: Place,
}

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether it stands there as it is meant: without references and white space to be changed.
    pub(super) plain: bool,
}

impl Place {
    fn raw<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn said<'f>(&self, bytes: &'f [u8]) -> Cow<'f, str> {
        let raw = text::as_str(self.raw(bytes));
        if self.plain {
            Cow::Borrowed(raw)
        } else {
            Cow::Owned(text::value(raw))
        }
    }

    /// What it says.
    pub(super) fn text<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let raw = self.raw(bytes);
        if self.plain {
            return Cow::Borrowed(raw);
        }
        Cow::Owned(text::value(text::as_str(raw)).into_bytes())
    }
}

/// What has been read of a tag.
#[derive(Debug, Default)]
pub(super) struct Tag {
    pub(super) name: Name,
    /// Of the name; known when the tag is complete.
    namespace: Span,
    attributes: Vec<Part>,
    declarations: usize,
    /// The name whose value comes next.
    attribute: Name,
    /// What was in force before.
    pub(super) scope: Mark,
    /// Where the white space before the declaration of the default namespace begins, and its value.
    default: Option<(usize, Place)>,
    /// Whether it declares the default namespace that is in force anyway.
    redundant: bool,
    /// Whether it has no prefix but `xml`.
    tame: bool,
}

impl Tag {
    #[inline(always)]
    pub(super) fn open(&mut self, name: Name, scope: Mark) {
        self.name = name;
        self.attributes.clear();
        self.declarations = 0;
        self.scope = scope;
        self.default = None;
        self.redundant = false;
        self.tame = true;
    }

    /// Forgets what was read.
    pub(super) fn clear(&mut self) {
        let mut attributes = core::mem::take(&mut self.attributes);
        attributes.clear();
        *self = Self {
            attributes,
            ..Self::default()
        };
    }

    /// Whether every reader would resolve its names alike, wherever it stands. At the first level a declaration of the
    /// content namespace is left out.
    pub(super) fn is_tame(&self, depth: usize) -> bool {
        self.tame && (depth <= 1 || !self.redundant)
    }

    #[inline(always)]
    pub(super) fn attribute(&mut self, name: Name, bytes: &[u8]) -> Result<(), Fault> {
        self.attribute = name;
        if name.has_prefix() && bytes.get(name.range()) == Some(b"xmlns:xmlns") {
            return Err(Fault::Reserved);
        }
        Ok(())
    }

    /// Takes the value of the attribute whose name came before; `gap` is where the white space before it began.
    #[inline(always)]
    pub(super) fn value(
        &mut self,
        bytes: &[u8],
        value: Place,
        gap: usize,
        scopes: &mut Scopes,
        limits: &Limits,
    ) -> Result<(), Fault> {
        let name = self.attribute;
        if let Some(prefix) = name.declares(bytes) {
            return self.declare(prefix, bytes, value, gap, scopes, limits);
        }
        self.count(limits)?;
        self.attributes.push(Part {
            name,
            namespace: Span::default(),
            value,
        });
        Ok(())
    }

    /// Takes a declaration of a prefix, or of the default namespace for none.
    fn declare(
        &mut self,
        prefix: &[u8],
        bytes: &[u8],
        value: Place,
        gap: usize,
        scopes: &mut Scopes,
        limits: &Limits,
    ) -> Result<(), Fault> {
        let namespace = &*value.text(bytes);
        check_reserved(prefix, namespace)?;
        self.count(limits)?;
        bound(namespace.len(), limits.namespace, Limit::Namespace)?;
        self.declarations = self.declarations.saturating_add(1);
        if prefix.is_empty() {
            if self.default.is_some() {
                return Err(Fault::Twice);
            }
            self.redundant = *namespace == *scopes.text(scopes.default());
            self.default = Some((gap, value));
            scopes.set_default(namespace);
            return Ok(());
        }
        self.tame = false;
        scopes.declare(self.scope, prefix, namespace)
    }

    /// One more is within the limits.
    #[inline(always)]
    fn count(&self, limits: &Limits) -> Result<(), Fault> {
        self.attribute.bound(limits)?;
        let count = self.attributes.len().saturating_add(self.declarations);
        bound(
            count.saturating_add(1),
            limits.attributes,
            Limit::Attributes,
        )
    }

    /// Resolves all names.
    pub(super) fn close(&mut self, bytes: &[u8], scopes: &Scopes) -> Result<(), Fault> {
        for attribute in &mut self.attributes {
            if attribute.name.has_prefix() {
                let prefix = attribute.name.prefix(bytes);
                attribute.namespace = scopes.resolve(prefix)?;
                self.tame &= prefix == b"xml";
            }
        }
        if has_twins(&self.attributes, bytes, scopes) {
            return Err(Fault::Twice);
        }
        self.namespace = scopes.default();
        if self.name.has_prefix() {
            self.namespace = scopes.resolve(self.name.prefix(bytes))?;
            self.tame = false;
        }
        Ok(())
    }

    /// Gives back what a tag with many attributes has taken.
    pub(super) fn shrink(&mut self) {
        self.attributes.clear();
        self.attributes.shrink_to(8);
    }
}

fn check_reserved(prefix: &[u8], namespace: &[u8]) -> Result<(), Fault> {
    let xml = namespace == ns::XML.as_bytes();
    // rxml lets the namespace of `xmlns` pass; expat and libxml2 refuse it.
    if xml != (prefix == b"xml") || namespace == ns::XMLNS.as_bytes() {
        return Err(Fault::Reserved);
    }
    if namespace.is_empty() && !prefix.is_empty() {
        return Err(Fault::Unbound);
    }
    Ok(())
}

pub(super) fn bound(count: usize, allowed: usize, limit: Limit) -> Result<(), Fault> {
    if count > allowed {
        return Err(Fault::TooMuch(limit));
    }
    Ok(())
}

/// Whether two attributes have the same name, namespaces resolved (Namespaces in XML 1.0 §6.3).
fn has_twins(attributes: &[Part], bytes: &[u8], scopes: &Scopes) -> bool {
    let order = |a: &Part, b: &Part| {
        let local = a.name.local(bytes).cmp(b.name.local(bytes));
        local.then_with(|| {
            if a.namespace == b.namespace {
                return Ordering::Equal;
            }
            scopes.text(a.namespace).cmp(scopes.text(b.namespace))
        })
    };
    if attributes.len() <= FEW {
        let mut rest = attributes;
        while let Some((first, others)) = rest.split_first() {
            let local = first.name.local(bytes);
            let mut alike = others.iter().filter(|one| one.name.local(bytes) == local);
            if alike.any(|other| order(first, other).is_eq()) {
                return true;
            }
            rest = others;
        }
        return false;
    }
    let mut sorted: Vec<&Part> = attributes.iter().collect();
    sorted.sort_unstable_by(|a, b| order(a, b));
    sorted
        .iter()
        .zip(sorted.iter().skip(1))
        .any(|(a, b)| order(a, b).is_eq())
}

/// A complete start tag.
pub(crate) struct Start<'a> {
    bytes: &'a [u8],
    /// Levels around it: 0 is the stream header.
    pub(crate) depth: usize,
    tag: &'a Tag,
    scopes: &'a Scopes,
}

impl<'a> Start<'a> {
    pub(super) fn new(bytes: &'a [u8], depth: usize, tag: &'a Tag, scopes: &'a Scopes) -> Self {
        Self {
            bytes,
            depth,
            tag,
            scopes,
        }
    }

    pub(crate) fn namespace(&self) -> &'a str {
        text::as_str(self.scopes.text(self.tag.namespace))
    }

    /// Its name as bytes: namespace and local part.
    pub(crate) fn key(&self) -> (&'a [u8], &'a [u8]) {
        let namespace = self.scopes.text(self.tag.namespace);
        (namespace, self.tag.name.local(self.bytes))
    }

    pub(crate) fn local(&self) -> &'a str {
        self.local_in(self.bytes)
    }

    /// The same, out of the bytes of the frame: it lasts as long as they do.
    pub(crate) fn local_in<'f>(&self, frame: &'f [u8]) -> &'f str {
        text::as_str(self.tag.name.local(frame))
    }

    /// What `prefix` means inside, or the default namespace for none.
    pub(crate) fn means(&self, prefix: &str) -> Option<&'a [u8]> {
        let namespace = if prefix.is_empty() {
            self.scopes.default()
        } else {
            self.scopes.resolve(prefix.as_bytes()).ok()?
        };
        Some(self.scopes.text(namespace))
    }

    /// Where the declaration of the default namespace stands in the frame, with the white space before it.
    pub(crate) fn default_declaration(&self) -> Option<Range<usize>> {
        let declared = self.tag.default;
        declared.map(|(start, value)| start..value.end.saturating_add(1))
    }

    /// The default namespace that it declares, out of the bytes of the frame.
    pub(crate) fn default_in<'f>(&self, frame: &'f [u8]) -> Option<Cow<'f, str>> {
        let (_, value) = self.tag.default?;
        Some(value.said(frame))
    }

    /// All attributes, declarations left out.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + '_ {
        self.tag.attributes.iter().map(|part| Attribute {
            bytes: self.bytes,
            namespace: self.scopes.text(part.namespace),
            part,
        })
    }
}

/// An attribute, its name resolved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute<'a> {
    bytes: &'a [u8],
    namespace: &'a [u8],
    part: &'a Part,
}

impl<'a> Attribute<'a> {
    /// Its name as bytes: namespace and local part.
    pub(crate) fn key(&self) -> (&'a [u8], &'a [u8]) {
        (self.namespace, self.part.name.local(self.bytes))
    }

    pub(crate) fn namespace(&self) -> &'a str {
        text::as_str(self.namespace)
    }

    pub(crate) fn local(&self) -> &'a str {
        self.local_in(self.bytes)
    }

    /// The same, out of the bytes of the frame.
    pub(crate) fn local_in<'f>(&self, frame: &'f [u8]) -> &'f str {
        text::as_str(self.part.name.local(frame))
    }

    pub(crate) fn value(&self) -> Cow<'a, str> {
        self.value_in(self.bytes)
    }

    /// The same, out of the bytes of the frame: it lasts as long as they do.
    pub(crate) fn value_in<'f>(&self, frame: &'f [u8]) -> Cow<'f, str> {
        self.part.value.said(frame)
    }

    /// Where its value stands in the frame, if it stands there as it is meant.
    pub(crate) fn place(&self) -> Option<Range<usize>> {
        let Place { start, end, plain } = self.part.value;
        plain.then_some(start..end)
    }
}
