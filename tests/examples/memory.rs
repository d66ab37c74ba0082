//! A client and a server in memory: no socket, no clock, no runtime.
use std::time::Duration;

use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Build as _, Stanza};
use onetrip_core::{Entity, Event, Request};
use onetrip_tests::echo::{Echo, Failure, Offers, PASSWORD};
use onetrip_tls::{Driven, Output};

/// Sends a stanza; gives out what comes back, and how many writes of the client's it took.
pub fn talk(to: &Echo, entity: &mut Entity, stanza: &Stanza) -> Result<(Stanza, usize), Failure> {
    let settings = to.settings(PASSWORD);
    let mut client = Driven::client(entity, settings.login, settings.tls, || Duration::ZERO)?;
    let config = to.config(Transport::StartTls);
    let mut other = Driven::server(config, to.tls(), || Duration::ZERO)?;
    let (mut back, mut writes) = (None, 0);
    loop {
        while let Some(output) = client.poll_output() {
            match output {
                Output::Transmit(bytes) => {
                    writes += 1;
                    other.receive(&bytes)?;
                }
                Output::Request(Request::Derive(key)) => client.answer(key.perform().into())?,
                Output::Event(Event::Online { .. }) => _ = client.send(stanza)?,
                Output::Event(Event::Stanza(stanza)) => {
                    back = Some((stanza, writes));
                    client.close();
                }
                Output::Entity(event) => _ = entity.handle(event),
                Output::Close => return back.ok_or("nothing came back".into()),
                _ => {}
            }
        }
        while let Some(output) = other.poll_output() {
            match output {
                Output::Transmit(bytes) => client.receive(&bytes)?,
                Output::Request(Request::Sasl { domain, request }) => {
                    other.answer(to.accounts.decide(request, &domain).into())?;
                }
                Output::Request(Request::Bind { account, request }) => {
                    let bound = request.grant(&account, &mut other.env());
                    other.answer(bound.into())?;
                }
                Output::Event(Event::Stanza(stanza)) => {
                    let echo = stanza.element().with_attr("from", to.domain.as_str());
                    other.send(&Stanza::from_element(&echo)?)?;
                }
                _ => {}
            }
        }
    }
}

fn main() -> Result<(), Failure> {
    let message = Stanza::message("im.example.com", "Wherefore art thou?")?;
    let server = Echo::new(Offers::NONE);
    println!("{:?}", talk(&server, &mut Entity::default(), &message)?);
    Ok(())
}
