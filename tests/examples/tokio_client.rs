//! A client on tokio by hand: what `onetrip-tokio` does, for those who want a loop of their own.
use std::time::Duration;

use onetrip_core::stream::{Outside, Stanza};
use onetrip_core::{Answer, Entity, Event, Request};
use onetrip_tests::echo::{Failure, Local};
use onetrip_tls::rustls::{RustlsSession, SystemEntropy};
use onetrip_tls::{Output, Secured};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant as Clock, timeout};

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
                    let key = tokio::task::spawn_blocking(move || key.perform()).await?;
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
                    let _ = socket.shutdown().await;
                    return Ok(back);
                }
                _ => {}
            }
        }
        let wait = connection.wait(outside.now()).unwrap_or(Duration::MAX);
        match timeout(wait, socket.read(&mut buffer)).await {
            Ok(Ok(count @ 1..)) => connection.receive(&mut outside.env(), &buffer[..count])?,
            Ok(_) => connection.receive_eof(&mut outside.env()),
            Err(_) => connection.handle_timeout(&mut outside.env()),
        }
    }
}

// Dead where a test includes this file.
#[allow(dead_code)]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let message = Stanza::message("im.example.com", "Wherefore art thou?")?;
    println!("{:?}", talk(&Local::start()?, &message).await?);
    Ok(())
}
