//! A client on smol.
use std::net::Shutdown;
use std::time::Instant as Clock;

use onetrip_core::stream::{Outside, Stanza};
use onetrip_core::{Answer, Entity, Event, Request};
use onetrip_tests::echo::{Failure, Local};
use onetrip_tls::rustls::{RustlsSession, SystemEntropy};
use onetrip_tls::{Output, Secured};
use smol::future::FutureExt as _;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::net::TcpStream;
use smol::{Timer, unblock};

/// Sends a stanza, and gives out what comes back.
pub async fn talk(server: &Local, stanza: &Stanza) -> Result<Option<Stanza>, Failure> {
    let began = Clock::now();
    let mut outside = Outside::new(move || began.elapsed(), SystemEntropy::new());
    let mut socket = TcpStream::connect(server.address).await?;
    let mut buffer = vec![0; 16 * 1024];
    let tls = RustlsSession::client(server.tls(), server.login().account.domain())?;
    let machine = Entity::default().connect(server.login(), &mut outside.env());
    let (mut connection, mut back) = (Secured::new(machine, tls), None);
    loop {
        while let Some(output) = connection.poll_output() {
            match output {
                Output::Transmit(bytes) => socket.write_all(&bytes).await?,
                Output::Request(Request::Derive(key)) => {
                    let key = unblock(move || key.perform()).await;
                    connection.answer(&mut outside.env(), Answer::Derived(key))?;
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
        let read = async { Some(socket.read(&mut buffer).await) };
        let due = async {
            match connection.wait(outside.now()) {
                Some(wait) => _ = Timer::after(wait).await,
                None => std::future::pending().await,
            }
            None
        };
        match read.or(due).await {
            Some(Ok(count @ 1..)) => connection.receive(&mut outside.env(), &buffer[..count])?,
            Some(_) => connection.receive_eof(&mut outside.env()),
            None => connection.handle_timeout(&mut outside.env()),
        }
    }
}

// Dead where a test includes this file.
#[allow(dead_code)]
fn main() -> Result<(), Failure> {
    let message = Stanza::message("im.example.com", "Wherefore art thou?")?;
    println!("{:?}", smol::block_on(talk(&Local::start()?, &message))?);
    Ok(())
}
