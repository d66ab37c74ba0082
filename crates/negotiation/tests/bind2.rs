//! Bind 2: both ends, resumption first, and answers that contradict each other.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::read;
use minidom::Element;
use onetrip_negotiation::bind2::{
    Action, Error, Feature, Initiator, Receiver, Verdict, feature, resumes,
};
use onetrip_negotiation::sasl2::{Offer, UserAgent};
use onetrip_stream::{Build as _, Env, Instant, Jid, ns};
use proptest::prelude::*;

fn jid(text: &str) -> Jid {
    text.parse().unwrap()
}

fn sm(name: &str) -> Element {
    Element::bare(name, ns::STREAM_MANAGEMENT)
}

fn client() -> Initiator {
    Initiator::new()
        .with_tag("AwesomeXMPP")
        .with_inline(Element::bare("enable", ns::CARBONS))
        .with_inline(sm("enable"))
}

/// XEP-0386 §3.2, example 3.
#[test]
fn the_request_is_that_of_the_text_with_each_thing_once() {
    let expected = read(
        "<bind xmlns='urn:xmpp:bind:0'><tag>AwesomeXMPP</tag>\
         <enable xmlns='urn:xmpp:carbons:2'/><enable xmlns='urn:xmpp:sm:3'/></bind>",
    );
    assert_eq!(client().with_inline(sm("enable")).request(), [expected]);
}

#[test]
fn the_feature_says_what_can_be_enabled_and_is_found_in_an_offer() {
    let mut offer = Offer::default();
    assert_eq!(Feature::read(&offer), None);
    offer.inline = vec![feature(&[ns::CARBONS, ns::STREAM_MANAGEMENT])];
    let read = Feature::read(&offer).unwrap();
    assert!(read.enables(ns::STREAM_MANAGEMENT) && !read.enables("urn:xmpp:csi:0"));
    offer.inline = vec![feature(&[])];
    assert_eq!(Feature::read(&offer), Some(Feature::default()));
}

/// MongooseIM#4114.
#[test]
fn resumption_is_found_under_either_name() {
    let mut offer = Offer::default();
    assert!(!resumes(&offer));
    for name in ["sm", "resume"] {
        offer.inline = vec![sm(name)];
        assert!(resumes(&offer), "{name}");
    }
}

#[test]
fn a_resource_is_bound_behind_its_tag_and_what_is_enabled_is_answered() {
    let agent = UserAgent::new("d4565fa7-4d72-4749-b3d3-740edbf87770");
    let mut server = Receiver::new(&client().request(), Some(&agent)).unwrap();
    let Some(Action::Bind(request)) = server.poll_action() else {
        panic!()
    };
    assert_eq!(request.inline.len(), 2);
    assert_eq!(request.client, agent.id);
    let mut entropy = |out: &mut [u8]| out.fill(0xab);
    let resource = request.resource(&mut Env::new(Instant::EPOCH, &mut entropy));
    assert_eq!(resource, format!("AwesomeXMPP/{}", "ab".repeat(16)));
    server.bound(vec![sm("enabled")]);
    let Some(Action::Answer(answers)) = server.poll_action() else {
        panic!()
    };
    let full = jid("juliet@capulet.lit").with_resource(&resource).unwrap();
    let expected = Verdict::Bound {
        jid: full.clone(),
        inline: vec![sm("enabled")],
        failed: None,
    };
    assert_eq!(client().handle(&full, &answers), Ok(expected));
    assert_eq!(
        client().handle(&jid("juliet@capulet.lit"), &answers),
        Err(Error::NoResource)
    );
}

#[test]
fn a_session_that_goes_on_needs_no_resource_and_one_that_does_not_gets_one() {
    let asked = client().with_resume(sm("resume"));
    let full = jid("juliet@capulet.lit/b");
    let server = || {
        let mut server = Receiver::new(&asked.request(), None).unwrap();
        assert_eq!(server.poll_action(), Some(Action::Resume(sm("resume"))));
        server
    };
    let mut resumed = server();
    resumed.resumed(sm("resumed"));
    let Some(Action::Answer(answers)) = resumed.poll_action() else {
        panic!()
    };
    let expected = Ok(Verdict::Resumed(sm("resumed")));
    assert_eq!(asked.handle(&jid("juliet@capulet.lit"), &answers), expected);

    let mut failed = server();
    failed.bound(vec![]);
    assert_eq!(failed.poll_action(), None, "resumption is decided first");
    failed.failed(sm("failed").with_attr("h", "7"));
    assert!(matches!(failed.poll_action(), Some(Action::Bind(_))));
    failed.resumed(sm("resumed"));
    assert_eq!(failed.poll_action(), None, "too late");
    failed.bound(vec![]);
    let Some(Action::Answer(answers)) = failed.poll_action() else {
        panic!()
    };
    let Ok(Verdict::Bound { failed, .. }) = asked.handle(&full, &answers) else {
        panic!()
    };
    assert_eq!(failed.unwrap().attr("h"), Some("7"));
}

#[test]
fn answers_that_contradict_each_other_or_the_request_are_errors() {
    let full = jid("juliet@capulet.lit/b");
    let bound = || Element::bare("bound", ns::BIND2);
    let asked = client().with_resume(sm("resume"));
    let both = [bound(), sm("resumed")];
    assert_eq!(asked.handle(&full, &both), Err(Error::Both));
    assert_eq!(
        asked.handle(&full, &[bound(), bound()]),
        Err(Error::Twice("bound"))
    );
    assert_eq!(
        client().handle(&full, &[sm("resumed")]),
        Err(Error::Unasked("resumed"))
    );
    assert_eq!(
        client().handle(&full, &both),
        Err(Error::Unasked("resumed"))
    );
    let ignored = Verdict::NotBound { failed: None };
    assert_eq!(client().handle(&full, &[]), Ok(ignored));
}

#[test]
fn a_request_that_is_made_twice_is_refused_and_a_tag_that_is_none_left_out() {
    let bind = |inside: &str| read(&format!("<bind xmlns='urn:xmpp:bind:0'>{inside}</bind>"));
    let twice = Receiver::new(&[bind(""), bind("")], None);
    assert_eq!(twice.unwrap_err(), Error::Twice("bind"));
    let twice = Receiver::new(&[sm("resume"), sm("resume")], None);
    assert_eq!(twice.unwrap_err(), Error::Twice("resume"));
    let enable = "<enable xmlns='urn:xmpp:sm:3'/>";
    let twice = Receiver::new(&[bind(&enable.repeat(2))], None);
    assert_eq!(twice.unwrap_err(), Error::Twice("enable"));
    for bad in ["", "  ", "a&#x9;b", &"x".repeat(513)] {
        let mut server = Receiver::new(&[bind(&format!("<tag>{bad}</tag>"))], None).unwrap();
        let Some(Action::Bind(request)) = server.poll_action() else {
            panic!()
        };
        assert_eq!(request.tag, None, "{bad}");
    }
    let mut nothing = Receiver::new(&[], None).unwrap();
    assert_eq!(nothing.poll_action(), Some(Action::Answer(vec![])));
}

proptest! {
    /// Of whatever answers, in whatever order: never a resource and a session at once, and no resource without one.
    #[test]
    fn a_verdict_is_one_thing_only(
        picks in prop::collection::vec(0..4_usize, 0..5), resume in prop::bool::ANY, full in prop::bool::ANY
    ) {
        let all = [Element::bare("bound", ns::BIND2), sm("resumed"), sm("failed"), sm("enabled")];
        let answers: Vec<Element> = picks.iter().map(|pick| all[*pick].clone()).collect();
        let asked = if resume { client().with_resume(sm("resume")) } else { client() };
        let who = if full { jid("juliet@capulet.lit/b") } else { jid("juliet@capulet.lit") };
        let has = |pick| picks.contains(&pick);
        match asked.handle(&who, &answers) {
            Ok(Verdict::Bound { jid, .. }) => prop_assert!(has(0) && !has(1) && jid.resource().is_some()),
            Ok(Verdict::Resumed(_)) => prop_assert!(has(1) && !has(0) && resume),
            Ok(_) => prop_assert!(!has(0) && !has(1)),
            Err(_) => prop_assert!(has(0) || has(1) || has(2)),
        }
    }
}
