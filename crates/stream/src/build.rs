//! Building small elements by hand, without macros and without panics.

use minidom::Element;
use minidom::rxml::{Namespace, NcName};

/// Chained construction of negotiation elements.
///
/// ```
/// # use onetrip_stream::{Build, ns};
/// # use minidom::Element;
/// let auth = Element::bare("auth", ns::SASL).with_attr("mechanism", "PLAIN").with_text("=");
/// assert_eq!(auth.attr("mechanism"), Some("PLAIN"));
/// ```
pub trait Build: Sized {
    /// Sets an attribute without a namespace. A `name` that is no NCName leaves the element as it is.
    #[must_use]
    fn with_attr(self, name: &str, value: impl Into<String>) -> Self;
    /// Sets an attribute in a namespace. A `name` that is no NCName leaves the element as it is.
    #[must_use]
    fn with_attr_ns(self, namespace: &str, name: &str, value: impl Into<String>) -> Self;
    /// Appends a child element.
    #[must_use]
    fn with_child(self, child: Element) -> Self;
    /// Appends text.
    #[must_use]
    fn with_text(self, text: &str) -> Self;
}

impl Build for Element {
    fn with_attr(self, name: &str, value: impl Into<String>) -> Self {
        self.with_attr_ns("", name, value)
    }

    fn with_attr_ns(mut self, namespace: &str, name: &str, value: impl Into<String>) -> Self {
        if let Ok(name) = NcName::try_from(name) {
            let namespace = Namespace::try_share_static(namespace)
                .unwrap_or_else(|| Namespace::from(namespace.to_owned()));
            self.attrs_mut().insert(namespace, name, value.into());
        }
        self
    }

    fn with_child(mut self, child: Element) -> Self {
        self.append_child(child);
        self
    }

    fn with_text(mut self, text: &str) -> Self {
        self.append_text_node(text);
        self
    }
}
