//! A client on blocking sockets: one thread reads, one drives the machines.
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant as Clock};

use onetrip_core::stream::{Outside, Stanza};
use onetrip_core::{Answer, Entity, Event, Request};
use onetrip_tests::echo::{Failure, Local};
use onetrip_tls::rustls::{RustlsSession, SystemEntropy};
use onetrip_tls::{Output, Secured};

/// Sends a stanza, and gives out what comes back.
pub fn talk(server: &Local, stanza: &Stanza) -> Result<Option<Stanza>, Failure> {
    let began = Clock::now();
    let mut outside = Outside::new(move || began.elapsed(), SystemEntropy::new());
    let mut socket = TcpStream::connect(server.address)?;
    let (chunks, arrived) = channel();
    let mut reading = socket.try_clone()?;
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = reading.read(&mut buffer) {
            let _ = chunks.send(buffer[..count].to_vec());
        }
    });
    let tls = RustlsSession::client(server.tls(), server.login().account.domain())?;
    let machine = Entity::default().connect(server.login(), &mut outside.env());
    let (mut connection, mut back) = (Secured::new(machine, tls), None);
    loop {
        while let Some(output) = connection.poll_output() {
            match output {
                Output::Transmit(bytes) => socket.write_all(&bytes)?,
                Output::Request(Request::Derive(key)) => {
                    connection.answer(&mut outside.env(), Answer::Derived(key.perform()))?;
                }
                Output::Event(Event::Online { .. }) => {
                    _ = connection.send(&mut outside.env(), stanza)?
                }
                Output::Event(Event::Stanza(stanza)) => {
                    back = Some(stanza);
                    connection.close(&mut outside.env());
                }
                Output::Close => {
                    // The peer may have been quicker.
                    let _ = socket.shutdown(Shutdown::Both);
                    return Ok(back);
                }
                _ => {}
            }
        }
        let wait = connection.wait(outside.now()).unwrap_or(Duration::MAX);
        match arrived.recv_timeout(wait) {
            Ok(bytes) => connection.receive(&mut outside.env(), &bytes)?,
            Err(RecvTimeoutError::Timeout) => connection.handle_timeout(&mut outside.env()),
            Err(RecvTimeoutError::Disconnected) => connection.receive_eof(&mut outside.env()),
        }
    }
}

// Dead where a test includes this file.
#[allow(dead_code)]
fn main() -> Result<(), Failure> {
    let message = Stanza::message("im.example.com", "Wherefore art thou?")?;
    println!("{:?}", talk(&Local::start()?, &message)?);
    Ok(())
}
