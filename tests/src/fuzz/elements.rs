//! Elements that are almost right: one of a vocabulary, with as many changes as the input asks for.

use minidom::rxml::{Namespace, NcName};
use onetrip_core::minidom::Element;

use super::Input;

/// Values that mean something somewhere.
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "+1",
    "4294967295",
    "4294967296",
    "true",
    "false",
    "s1",
    "x",
    "set",
    "get",
    "result",
    "error",
    "juliet@capulet.test",
    "juliet@capulet.test/balcony",
    "romeo@montague.lit/orchard",
    "juliet@capulet.lit/balcony",
    "capulet.lit",
    "montague.lit",
    "chat.montague.lit",
    "a@b@c",
    "PLAIN",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1-PLUS",
    "EXTERNAL",
    "ANONYMOUS",
    "HT-SHA-256-NONE",
    "HT-SHA-256-ENDP",
    "HT-SHA-256-EXPR",
    "valid",
    "invalid",
    "initiator",
    "responder",
    "both",
    "urn:xmpp:sm:3",
    "urn:xmpp:isr:0",
    "urn:xmpp:sasl:2",
    "=",
    "AAAA",
    "AGp1bGlldABzZWNyZXQ=",
    "2026-01-01T00:00:00Z",
    "127.0.0.1",
    "65535",
    "65536",
    " 1 ",
    "0x1",
    "t0ken",
    "unavailable",
];

/// An element of this vocabulary, which must be XML with every namespace declared.
pub(super) fn element(input: &mut Input<'_>, vocabulary: &[&str]) -> Element {
    let mut element = plain(input, vocabulary);
    spoil(input, &mut element, vocabulary);
    element
}

/// Changes an element in up to three places, or in none.
pub(super) fn spoil(input: &mut Input<'_>, element: &mut Element, vocabulary: &[&str]) {
    for _ in 0..input.byte() & 3 {
        let donor = plain(input, vocabulary);
        change(input, element, donor);
    }
}

fn plain(input: &mut Input<'_>, vocabulary: &[&str]) -> Element {
    let text = input.choose(vocabulary);
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A value that means something, or any text.
pub(super) fn value(input: &mut Input<'_>) -> String {
    let choice = input.byte();
    match VALUES.get(usize::from(choice)) {
        Some(value) => (*value).to_owned(),
        None => {
            let length = usize::from(choice & 15);
            let text = String::from_utf8_lossy(input.take(length)).into_owned();
            text.chars()
                .filter(|c| !c.is_control() && *c < '\u{fffe}')
                .collect()
        }
    }
}

/// Changes one thing, somewhere.
fn change(input: &mut Input<'_>, element: &mut Element, donor: Element) {
    let children = element.children().count();
    let descend = input.below(children + 1);
    if let Some(child) = descend
        .checked_sub(1)
        .and_then(|nth| element.children_mut().nth(nth))
    {
        return change(input, child, donor);
    }
    match input.below(8) {
        0 => set_attribute(input, element),
        1 => {
            let count = element.attrs().len();
            let name = element
                .attrs()
                .iter()
                .nth(input.below(count))
                .map(|((ns, name), _)| (ns.clone(), name.clone()));
            if let Some((namespace, name)) = name {
                element.attrs_mut().insert(namespace, name, value(input));
            }
        }
        2 => {
            let count = element.attrs().len();
            let name = element
                .attrs()
                .iter()
                .nth(input.below(count))
                .map(|((ns, name), _)| (ns.clone(), name.clone()));
            if let Some((namespace, name)) = name {
                element.attrs_mut().remove(&namespace, &name);
            }
        }
        3 => {
            let mut nodes = element.take_nodes();
            if !nodes.is_empty() {
                nodes.remove(input.below(nodes.len()));
            }
            nodes.into_iter().for_each(|node| element.append_node(node));
        }
        4 => {
            element.append_child(donor);
        }
        5 => element.append_text_node(value(input)),
        6 => *element = renamed(element, donor.name(), &element.ns()),
        _ => *element = renamed(element, element.name(), &donor.ns()),
    }
}

fn set_attribute(input: &mut Input<'_>, element: &mut Element) {
    const NAMES: &[&str] = &[
        "to",
        "from",
        "id",
        "type",
        "h",
        "previd",
        "xmlns2",
        "seq",
        "sid",
        "mechanism",
        "max",
        "resume",
    ];
    let name = NcName::try_from(*input.choose(NAMES)).expect("a name");
    element
        .attrs_mut()
        .insert(Namespace::NONE, name, value(input));
}

fn renamed(element: &Element, name: &str, namespace: &str) -> Element {
    let mut other = Element::bare(name, namespace);
    *other.attrs_mut() = element.attrs().clone();
    element
        .nodes()
        .for_each(|node| other.append_node(node.clone()));
    other
}
