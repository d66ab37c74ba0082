//! What `onetrip-tokio` tells a subscriber of `tracing`: what happened, and nothing secret.
#![allow(clippy::unwrap_used)]

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use onetrip_core::negotiation::sasl::InitiatorConfig;
use onetrip_core::stream::Stanza;
use onetrip_tests::echo::{Local, PASSWORD};
use onetrip_tokio::{Client, Event};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

/// Keeps a line for each span and each event.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn push(&self, line: String) -> u64 {
        let mut lines = self.0.lock().unwrap();
        lines.push(line);
        u64::try_from(lines.len()).unwrap()
    }

    fn contain(&self, all: &[&str]) {
        let lines = self.0.lock().unwrap();
        for expected in all {
            let found = lines.iter().any(|line| line.starts_with(expected));
            assert!(found, "{expected}: {lines:#?}");
        }
    }
}

/// Fields, as text.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = Text(format!("span {}", span.metadata().name()));
        span.record(&mut text);
        Id::from_u64(self.push(text.0))
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut text = Text("record".into());
        values.record(&mut text);
        self.push(text.0);
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.push(text.0);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Both ends are in this process, and the subscriber is that of the process: another thread's would be deaf to what was first
/// said without it.
#[tokio::test]
async fn a_session_is_told_step_by_step_and_without_secrets() {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    let server = Local::start().unwrap();
    let mut client = Client::tcp(server.settings());
    let message = Stanza::message("im.example.com", "Wherefore art thou?").unwrap();
    client.send(&message).await.unwrap();
    while let Some(event) = client.next().await {
        if let Event::Stanza(_) = event {
            client.close().await;
        }
    }
    lines.contain(&[
        "DEBUG message=dialling place=127.0.0.1:",
        "span connection role=\"initiator\"",
        "record peer=im.example.com",
        "span connection role=\"receiver\"",
        "TRACE message=sent label=\"stream header\"",
        "TRACE message=received label=\"features (",
        "DEBUG message=request request=\"Sasl\"",
        "DEBUG message=authenticated mechanism=SCRAM-SHA-256-PLUS",
        "record jid=juliet@im.example.com/",
        "INFO message=online jid=juliet@im.example.com/",
        "DEBUG message=stanza kind=\"message\" bytes=",
        "DEBUG message=event event=\"Management\"",
        "DEBUG message=close",
    ]);

    let mut settings = server.settings();
    settings.login.sasl = InitiatorConfig::password("juliet", "w2ongw2ong".into());
    let mut client = Client::tcp(settings);
    while client.next().await.is_some() {}
    lines.contain(&[
        "WARN message=credentials refused failure=",
        "WARN message=offline cause=the server refused the credentials",
    ]);
    let all = lines.0.lock().unwrap().join("\n");
    for secret in [PASSWORD, "w2ongw2ong", "Wherefore"] {
        assert!(!all.contains(secret), "{secret}");
    }
}
