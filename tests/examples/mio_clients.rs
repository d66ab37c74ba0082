//! Many clients on mio, in one thread.
use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Instant;

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use onetrip_core::{Entity, Event, Request, stream::Stanza};
use onetrip_tests::echo::{Failure, Local};
use onetrip_tls::{Driven, Output};

/// Sends a stanza on so many connections, and counts what comes back.
pub fn talk(server: &Local, stanza: &Stanza, clients: usize) -> Result<usize, Failure> {
    let (mut poll, mut events, began) = (Poll::new()?, Events::with_capacity(64), Instant::now());
    let (mut entity, clock, mut all) = (Entity::default(), || began.elapsed(), Vec::new());
    for number in 0..clients {
        let mut socket = TcpStream::connect(server.address)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut socket, Token(number), both)?;
        let client = Driven::client(&mut entity, server.login(), server.tls(), clock)?;
        all.push((socket, client, Vec::new()));
    }
    let (mut back, mut open, mut buffer) = (0, clients, vec![0; 16 * 1024]);
    while open > 0 {
        let wait = all.iter_mut().filter_map(|each| each.1.wait()).min();
        poll.poll(&mut events, wait)?;
        for event in &events {
            let (socket, client, _) = &mut all[event.token().0];
            loop {
                match socket.read(&mut buffer) {
                    Ok(count @ 1..) => _ = client.receive(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    _ => break client.receive_eof(),
                }
            }
        }
        for (socket, client, unwritten) in &mut all {
            client.handle_timeout();
            while let Some(output) = client.poll_output() {
                match output {
                    Output::Transmit(bytes) => unwritten.extend_from_slice(&bytes),
                    Output::Request(Request::Derive(key)) => client.answer(key.perform().into())?,
                    Output::Event(Event::Online { .. }) => _ = client.send(stanza)?,
                    Output::Event(Event::Stanza(_)) => {
                        back += 1;
                        client.close();
                    }
                    Output::Close => open -= 1,
                    _ => {}
                }
            }
            unwritten.drain(..socket.write(unwritten).unwrap_or(0));
        }
    }
    Ok(back)
}

fn main() -> Result<(), Failure> {
    let message = Stanza::message("im.example.com", "Wherefore art thou?")?;
    println!("{} of 50", talk(&Local::start()?, &message, 50)?);
    Ok(())
}
