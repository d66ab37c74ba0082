//! Many clients on mio, in one thread.
use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Instant as Clock;

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use onetrip_core::stream::{Outside, Stanza};
use onetrip_core::{Answer, Entity, Event, Request};
use onetrip_tests::echo::{Failure, Local};
use onetrip_tls::rustls::{RustlsSession, SystemEntropy};
use onetrip_tls::{Output, Secured};

/// Sends a stanza on so many connections, and counts what comes back.
pub fn talk(server: &Local, stanza: &Stanza, clients: usize) -> Result<usize, Failure> {
    let began = Clock::now();
    let mut outside = Outside::new(move || began.elapsed(), SystemEntropy::new());
    let (mut poll, mut events, mut all) = (Poll::new()?, Events::with_capacity(64), Vec::new());
    for number in 0..clients {
        let mut socket = TcpStream::connect(server.address)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut socket, Token(number), both)?;
        let tls = RustlsSession::client(server.tls(), server.login().account.domain())?;
        let machine = Entity::default().connect(server.login(), &mut outside.env());
        all.push((socket, Secured::new(machine, tls), Vec::new()));
    }
    let (mut back, mut open) = (0, clients);
    let mut buffer = vec![0; 16 * 1024];
    while open > 0 {
        for (socket, connection, unwritten) in &mut all {
            connection.handle_timeout(&mut outside.env());
            while let Some(output) = connection.poll_output() {
                match output {
                    Output::Transmit(bytes) => unwritten.extend_from_slice(&bytes),
                    Output::Request(Request::Derive(key)) => {
                        connection.answer(&mut outside.env(), Answer::Derived(key.perform()))?
                    }
                    Output::Event(Event::Online { .. }) => {
                        _ = connection.send(&mut outside.env(), stanza)?
                    }
                    Output::Event(Event::Stanza(_)) => {
                        (back, _) = (back + 1, connection.close(&mut outside.env()))
                    }
                    Output::Close => open -= 1,
                    _ => {}
                }
            }
            if let Ok(count) = socket.write(unwritten) {
                unwritten.drain(..count);
            }
        }
        let wait = all
            .iter()
            .filter_map(|each| each.1.wait(outside.now()))
            .min();
        poll.poll(&mut events, wait.filter(|_| open > 0))?;
        for event in &events {
            let (socket, connection, _) = &mut all[event.token().0];
            loop {
                match socket.read(&mut buffer) {
                    Ok(count @ 1..) => connection.receive(&mut outside.env(), &buffer[..count])?,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    _ => break connection.receive_eof(&mut outside.env()),
                }
            }
        }
    }
    Ok(back)
}

// Dead where a test includes this file.
#[allow(dead_code)]
fn main() -> Result<(), Failure> {
    let message = Stanza::message("im.example.com", "Wherefore art thou?")?;
    println!("{} of 50", talk(&Local::start()?, &message, 50)?);
    Ok(())
}
