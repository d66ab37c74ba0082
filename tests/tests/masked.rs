//! What is printed for a log shows no secret (digest §6.1): tasks, actions and decisions name what they hold, or count it.
#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use minidom::Element;
use onetrip_core::jingle::s5b::Link;
use onetrip_core::jingle::xtls::TlsRole;
use onetrip_core::negotiation::sasl::{Mechanism, Refusal};
use onetrip_core::negotiation::sasl2::{self, Failure};
use onetrip_core::stream::Stanza;
use onetrip_core::{Action, TaskPrompt, TaskReply, TaskStep, TaskVerdict, e2e};

const SECRET: &str = "r0m30myr0m30";

/// An element that holds the secret as text and as an attribute.
fn element() -> Element {
    let text = format!("<code xmlns='urn:example' value='{SECRET}'>{SECRET}</code>");
    text.parse().unwrap()
}

/// A message that has the secret as its body.
fn stanza() -> Stanza {
    Stanza::message("romeo@montague.lit", SECRET).unwrap()
}

fn bytes() -> Bytes {
    Bytes::from_static(SECRET.as_bytes())
}

#[test]
fn what_is_printed_names_or_counts_what_it_holds() {
    let children = || vec![element()];
    let tasks = || vec!["HOTP".to_owned()];
    let task = "HOTP".to_owned();
    let text = Some(SECRET.to_owned());
    let failure = Failure::new(Refusal::NotAuthorized);
    let shown = [
        (
            format!(
                "{:?}",
                TaskPrompt::Choose {
                    tasks: tasks(),
                    text: text.clone()
                }
            ),
            "Choose([\"HOTP\"])",
        ),
        (
            format!("{:?}", TaskPrompt::Data(children())),
            "Data([\"code\"])",
        ),
        (
            format!(
                "{:?}",
                TaskReply::Begin {
                    task: task.clone(),
                    children: children()
                }
            ),
            "Begin(HOTP, [\"code\"])",
        ),
        (
            format!("{:?}", TaskReply::Data(children())),
            "Data([\"code\"])",
        ),
        (format!("{:?}", TaskReply::Abort), "Abort"),
        (
            format!("{:?}", TaskStep::Proved(Mechanism::Plain)),
            "Proved(Plain)",
        ),
        (
            format!(
                "{:?}",
                TaskStep::Begun {
                    task,
                    children: children()
                }
            ),
            "Begun(HOTP, [\"code\"])",
        ),
        (
            format!("{:?}", TaskStep::Data(children())),
            "Data([\"code\"])",
        ),
        (format!("{:?}", TaskVerdict::Done), "Done"),
        (
            format!(
                "{:?}",
                TaskVerdict::Demand {
                    tasks: tasks(),
                    text: text.clone()
                }
            ),
            "Demand([\"HOTP\"])",
        ),
        (
            format!("{:?}", TaskVerdict::Data(children())),
            "Data([\"code\"])",
        ),
        (
            format!("{:?}", TaskVerdict::Refuse(failure.clone())),
            "Refuse(",
        ),
        (
            format!("{:?}", Action::Transmit(bytes())),
            "Transmit(12 bytes)",
        ),
        (
            format!("{:?}", Action::TransmitEarly(bytes())),
            "TransmitEarly(12 bytes)",
        ),
        (format!("{:?}", Action::Close), "Close"),
        (
            format!("{:?}", e2e::Action::Send(stanza())),
            "Send(<message/>)",
        ),
        (
            format!("{:?}", e2e::Action::Write(Link::Taken, bytes())),
            "Write(Taken, 12 bytes)",
        ),
        (
            format!("{:?}", e2e::Action::Close(Link::Taken)),
            "Close(Taken)",
        ),
        (
            format!("{:?}", e2e::Action::StartTls(TlsRole::Client)),
            "StartTls(Client)",
        ),
        (
            format!("{:?}", e2e::Action::Encrypted(bytes())),
            "Encrypted(12 bytes)",
        ),
        (
            format!("{:?}", e2e::Action::Encrypt(bytes())),
            "Encrypt(12 bytes)",
        ),
        (format!("{:?}", e2e::Action::CloseTls), "CloseTls"),
        (
            format!(
                "{:?}",
                sasl2::Action::Send {
                    element: element(),
                    last: true
                }
            ),
            "Send(<code/>, last: true)",
        ),
        (
            format!(
                "{:?}",
                sasl2::Action::Event(sasl2::Event::TaskData(children()))
            ),
            "Event(TaskData(1 elements))",
        ),
        (
            format!(
                "{:?}",
                sasl2::Event::Tasks {
                    tasks: tasks(),
                    text: text.clone()
                }
            ),
            "Tasks([\"HOTP\"])",
        ),
        (
            format!("{:?}", sasl2::Event::UnknownTasks(tasks())),
            "UnknownTasks([\"HOTP\"])",
        ),
        (
            format!("{:?}", sasl2::Event::Refused(failure.clone())),
            "Refused(",
        ),
        (
            format!(
                "{:?}",
                sasl2::Outcome::Success {
                    identifier: "juliet@im.example.com".parse().unwrap(),
                    inline: children(),
                }
            ),
            "Success(juliet@im.example.com, [\"code\"])",
        ),
        (
            format!(
                "{:?}",
                sasl2::Outcome::Continue {
                    tasks: tasks(),
                    text
                }
            ),
            "Continue([\"HOTP\"])",
        ),
        (
            format!("{:?}", sasl2::Outcome::TaskData(children())),
            "TaskData(1 elements)",
        ),
        (format!("{:?}", sasl2::Outcome::Refuse(failure)), "Refuse("),
        (
            format!("{:?}", sasl2::ReceiverAction::Send(element())),
            "Send(<code/>)",
        ),
    ];
    for (shown, expected) in shown {
        assert!(!shown.contains(SECRET), "{shown}");
        assert!(shown.starts_with(expected), "{shown}: {expected}");
    }
}
