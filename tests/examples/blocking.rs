//! A client on blocking sockets: one thread reads, one drives the machines.
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use onetrip_core::{Entity, Event, Request, stream::Stanza};
use onetrip_tests::echo::{Failure, Local};
use onetrip_tls::{Driven, Output};

/// Sends a stanza, and gives out what comes back.
pub fn talk(server: &Local, stanza: &Stanza) -> Result<Option<Stanza>, Failure> {
    let mut socket = TcpStream::connect(server.address)?;
    let (chunks, arrived) = channel();
    let mut reading = socket.try_clone()?;
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = reading.read(&mut buffer) {
            let _ = chunks.send(buffer[..count].to_vec());
        }
    });
    let (mut entity, mut back, mut received) = (Entity::default(), None, Ok(()));
    let began = Instant::now();
    let clock = move || began.elapsed();
    let mut connection = Driven::client(&mut entity, server.login(), server.tls(), clock)?;
    loop {
        while let Some(output) = connection.poll_output() {
            match output {
                Output::Transmit(bytes) => socket.write_all(&bytes)?,
                Output::Request(Request::Derive(key)) => connection.answer(key.perform().into())?,
                Output::Event(Event::Online { .. }) => _ = connection.send(stanza)?,
                Output::Event(Event::Stanza(stanza)) => {
                    back = Some(stanza);
                    connection.close();
                }
                Output::Close => {
                    // The peer may have been quicker.
                    let _ = socket.shutdown(Shutdown::Both);
                    return Ok(received.map(|()| back)?);
                }
                _ => {}
            }
        }
        match arrived.recv_timeout(connection.wait().unwrap_or(Duration::MAX)) {
            Ok(bytes) => received = connection.receive(&bytes),
            Err(RecvTimeoutError::Timeout) => connection.handle_timeout(),
            Err(RecvTimeoutError::Disconnected) => connection.receive_eof(),
        }
    }
}

fn main() -> Result<(), Failure> {
    let message = Stanza::message("im.example.com", "Wherefore art thou?")?;
    println!("{:?}", talk(&Local::start()?, &message)?);
    Ok(())
}
