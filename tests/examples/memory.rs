//! A client and a server in memory: no socket, no clock, no runtime.
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Build as _, Env, Instant, Stanza};
use onetrip_core::{Answer, Connection, Entity, Event, Request};
use onetrip_simulator::accounts::bind;
use onetrip_tests::echo::{Echo, Failure, Offers, PASSWORD};
use onetrip_tls::rustls::{RustlsSession, SystemEntropy};
use onetrip_tls::{Output, Secured};

/// Sends a stanza; gives out what comes back, and how many writes of the client's it took.
pub fn talk(
    server: &Echo,
    entity: &mut Entity,
    stanza: &Stanza,
) -> Result<(Stanza, usize), Failure> {
    let mut entropy = SystemEntropy::new();
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let settings = server.settings(PASSWORD);
    let tls = RustlsSession::client(settings.tls, &server.domain)?;
    let mut client = Secured::new(entity.connect(settings.login, env), tls);
    let machine = Connection::server(server.config(Transport::StartTls), env);
    let mut other = Secured::new(machine, RustlsSession::server(server.tls())?);
    let (mut back, mut writes) = (None, 0);
    loop {
        while let Some(output) = client.poll_output() {
            match output {
                Output::Transmit(bytes) => (writes, _) = (writes + 1, other.receive(env, &bytes)?),
                Output::Request(Request::Derive(key)) => {
                    client.answer(env, Answer::Derived(key.perform()))?
                }
                Output::Event(Event::Online { .. }) => _ = client.send(env, stanza)?,
                Output::Event(Event::Stanza(stanza)) => {
                    (back, _) = (Some((stanza, writes)), client.close(env))
                }
                Output::Entity(event) => _ = entity.handle(event),
                Output::Close => return back.ok_or("nothing came back".into()),
                _ => {}
            }
        }
        while let Some(output) = other.poll_output() {
            match output {
                Output::Transmit(bytes) => client.receive(env, &bytes)?,
                Output::Request(Request::Sasl { domain, request }) => {
                    let decision = server.accounts.decide(request, &domain);
                    other.answer(env, Answer::Sasl(decision))?;
                }
                Output::Request(Request::Bind { account, request }) => {
                    let bound = bind(&request, &account, env);
                    other.answer(env, bound)?;
                }
                Output::Event(Event::Stanza(stanza)) => {
                    let echo = stanza.element().with_attr("from", server.domain.as_str());
                    other.send(env, &Stanza::from_element(&echo)?)?;
                }
                _ => {}
            }
        }
    }
}

// Dead where a test includes this file.
#[allow(dead_code)]
fn main() -> Result<(), Failure> {
    let message = Stanza::message("im.example.com", "Wherefore art thou?")?;
    println!(
        "{:?}",
        talk(&Echo::new(Offers::NONE), &mut Entity::default(), &message)?
    );
    Ok(())
}
