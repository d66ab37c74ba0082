//! Addresses where they stand, against a model that reads a character at a time and copies each part.
#![allow(clippy::unwrap_used)]

use onetrip_stream::{Domain, DomainRef, Jid};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Local part, domain and resource in their comparable form (RFC 7622 §3); `None` for what is no address.
type Model = Option<(Option<String>, String, Option<String>)>;

fn model(text: &str) -> Model {
    let (bare, resource) = match text.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource)),
        None => (text, None),
    };
    let (local, domain) = match bare.split_once('@') {
        Some((local, domain)) => (Some(local), domain),
        None => (None, bare),
    };
    let part = |part: &str, fits: &dyn Fn(char) -> bool| {
        (1..=1023).contains(&part.len()) && part.chars().all(fits)
    };
    let visible = |c: char| !c.is_control() && !c.is_whitespace();
    let in_local = |c: char| visible(c) && !"\"&'/:<>@".contains(c);
    let in_domain = |c: char| match c.is_ascii() {
        true => c.is_ascii_alphanumeric() || "-_.:[]".contains(c),
        false => visible(c),
    };
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let fits = local.is_none_or(|local| part(local, &in_local))
        && part(domain, &in_domain)
        && domain.split('.').all(|label| !label.is_empty())
        && resource.is_none_or(|resource| part(resource, &|c| !c.is_control()));
    let lower = str::to_ascii_lowercase;
    fits.then(|| (local.map(lower), lower(domain), resource.map(str::to_owned)))
}

fn of(jid: &Jid) -> Model {
    let [local, resource] = [jid.local(), jid.resource()].map(|part| part.map(str::to_owned));
    Some((local, jid.domain().as_str().to_owned(), resource))
}

/// Few of them, so that texts are often addresses, and often the same but for their case or a dot.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        12 => select(vec!["a", "A", "b.c", "B.c", "@", "/", "-", "7"]).prop_map(str::to_owned),
        4 => select(vec![".", "..", "é", "É", "\u{3000}", " ", ":", "[", "_", "~", "'"]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => (1020..1025_usize).prop_map(|length| "x".repeat(length)),
    ];
    vec(piece, 0..7).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn an_address_is_read_alike_where_it_stands_and_as_a_copy(one in text(), other in text()) {
        let (known, other_known) = (model(&one), model(&other));
        let jid = one.parse::<Jid>().ok();
        prop_assert_eq!(jid.as_ref().and_then(of), known.clone());

        let domain = DomainRef::of(&one);
        let known_domain = known.as_ref().map(|(_, domain, _)| domain.as_str());
        prop_assert_eq!(domain.as_ref().map(DomainRef::as_str), known_domain);
        prop_assert_eq!(domain.map(|domain| domain.into_domain()), known_domain.and_then(Domain::new));

        if let Some(jid) = jid {
            let bare = of(&jid.to_bare());
            prop_assert_eq!(jid.is(&other), other_known == known);
            prop_assert_eq!(jid.is_bare(&other), other_known == bare);
            // What the same address looks like that nobody has normalised.
            prop_assert!(jid.is(&one) && jid.to_bare().is(&jid.to_bare().to_string()));
            prop_assert_eq!(jid.is_bare(&one), jid.resource().is_none());
        }
    }

    #[test]
    fn a_domain_is_what_stands_in_an_address_without_anything_around_it(text in text()) {
        let known = model(&text).filter(|(local, _, resource)| local.is_none() && resource.is_none());
        let domain = Domain::new(&text);
        prop_assert_eq!(domain.map(|domain| domain.to_string()), known.map(|(_, domain, _)| domain));
    }
}
