//! The limits of the reader from both sides, and what they are there for.

use onetrip_stream::{Limit, Limits, ReadErrorKind};

use crate::{HEADER, frames, inside, whole};

/// Each limit, met exactly and exceeded by one.
#[test]
fn every_limit_from_both_sides() {
    let limits = Limits::default();
    let small = |edit: fn(&mut Limits, usize), allowed: usize| {
        let mut limits = limits;
        edit(&mut limits, allowed);
        limits
    };
    type Edit = fn(&mut Limits, usize);
    type Build = fn(usize) -> String;
    let table: &[(Limit, Edit, usize, Build)] = &[
        (
            Limit::Header,
            |limits, n| limits.header = n,
            200,
            |n| {
                format!(
                    "{}{}>",
                    &HEADER[..HEADER.len() - 1],
                    " ".repeat(n - HEADER.len())
                )
            },
        ),
        (
            Limit::Element,
            |limits, n| limits.element = n,
            300,
            |n| format!("{HEADER}<a>{}</a>", "x".repeat(n - 7)),
        ),
        (
            Limit::Token,
            |limits, n| limits.token = n,
            120,
            |n| format!("{HEADER}<a b='{}'/>", "x".repeat(n)),
        ),
        (
            Limit::Silent,
            |limits, n| limits.silent = n,
            200,
            |n| format!("{HEADER}<a{}/>", " ".repeat(n)),
        ),
        (
            Limit::Depth,
            |limits, n| limits.depth = n,
            5,
            |n| format!("{HEADER}{}{}", "<a>".repeat(n), "</a>".repeat(n)),
        ),
        (
            Limit::Attributes,
            |limits, n| limits.attributes = n,
            7,
            |n| {
                format!(
                    "{HEADER}<a {}/>",
                    (0..n).map(|i| format!(" b{i}=''")).collect::<String>()
                )
            },
        ),
        (
            Limit::Elements,
            |limits, n| limits.elements = n,
            9,
            |n| format!("{HEADER}<a>{}</a>", "<b/>".repeat(n - 1)),
        ),
        (
            Limit::Elements,
            |limits, n| limits.elements = n,
            9,
            |n| format!("{HEADER}<iq>{}</iq>", "<b/>".repeat(n - 1)),
        ),
        (
            Limit::Namespace,
            |limits, n| limits.namespace = n,
            80,
            |n| format!("{HEADER}<a xmlns='{}'/>", "n".repeat(n)),
        ),
        (
            Limit::Name,
            |limits, n| limits.name = n,
            12,
            |n| format!("{HEADER}<{}/>", "a".repeat(n)),
        ),
    ];
    for (limit, edit, allowed, build) in table {
        let limits = small(*edit, *allowed);
        // White space inside a tag is only seen as silence when the tag goes on.
        let slack = usize::from(*limit == Limit::Silent) * 8;
        let (found, error) = frames(limits, std::iter::once(build(*allowed - slack).as_bytes()));
        assert_eq!(error, None, "{limit:?} at the bound");
        assert!(!found.is_empty());
        let beyond = build(*allowed + 1 + slack);
        for size in [usize::MAX, 1] {
            let error = frames(limits, beyond.as_bytes().chunks(size.min(beyond.len()))).1;
            let error = error.unwrap_or_else(|| panic!("{limit:?} beyond the bound, by {size}"));
            assert!(
                matches!(error.kind, ReadErrorKind::TooMuch { limit: found, .. } if found == *limit),
                "{limit:?}: {error:?}"
            );
        }
    }
}

/// R1: runs of CR grow rxml's buffer without an event. R8: white space inside a tag never ends.
#[test]
fn r1_a_run_of_cr_is_bounded_everywhere() {
    let run = "\r".repeat(400_000);
    assert!(inside(&format!("<a>{run}")).is_some(), "in text");
    assert!(
        inside(&format!("<a b='{run}")).is_some(),
        "in an attribute value"
    );
    assert!(inside(&format!("<a {run}")).is_some(), "in a tag");
    assert!(
        whole(format!("<?xml version='1.0'?>{run}").as_bytes())
            .1
            .is_some(),
        "before the root"
    );
    // Between first-level elements white space is a keepalive, and costs nothing.
    assert_eq!(inside(&run), None);
    assert!(inside(&format!("<![CDATA[{run}")).is_some(), "in CDATA");
}

/// R2, R3: a tag with very many attributes and a document that is very deep are cut off before they cost anything.
#[test]
fn r2_r3_attribute_floods_and_depth_are_cut_off() {
    let flood: String = (0..500_000).map(|i| format!(" a{i}=''")).collect();
    let error = inside(&format!("<a{flood}/>")).unwrap();
    assert!(error.offset < 10_000, "{error}");
    let error = inside(&"<a>".repeat(200_000)).unwrap();
    assert!(error.offset < 1_000, "{error}");
}
