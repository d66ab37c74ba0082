//! A client on tokio by hand: what `onetrip-tokio` does, for those who want a loop of their own.
use std::time::{Duration, Instant};

use onetrip_core::{Entity, Event, Request, stream::Stanza};
use onetrip_tests::echo::{Failure, Local};
use onetrip_tls::{Driven, Output};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::{net::TcpStream, task::spawn_blocking, time::timeout};

/// Sends a stanza, and gives out what comes back.
pub async fn talk(server: &Local, stanza: &Stanza) -> Result<Option<Stanza>, Failure> {
    let mut socket = TcpStream::connect(server.address).await?;
    let mut buffer = vec![0; 16 * 1024];
    let (mut entity, mut back, mut received) = (Entity::default(), None, Ok(()));
    let began = Instant::now();
    let clock = move || began.elapsed();
    let mut connection = Driven::client(&mut entity, server.login(), server.tls(), clock)?;
    loop {
        while let Some(output) = connection.poll_output() {
            match output {
                Output::Transmit(bytes) => socket.write_all(&bytes).await?,
                Output::Request(Request::Derive(key)) => {
                    let key = spawn_blocking(move || key.perform()).await?;
                    connection.answer(key.into())?;
                }
                Output::Event(Event::Online { .. }) => _ = connection.send(stanza)?,
                Output::Event(Event::Stanza(stanza)) => {
                    back = Some(stanza);
                    connection.close();
                }
                Output::Close => return Ok(received.map(|()| back)?),
                _ => {}
            }
        }
        let wait = connection.wait().unwrap_or(Duration::MAX);
        match timeout(wait, socket.read(&mut buffer)).await {
            Ok(Ok(count @ 1..)) => received = connection.receive(&buffer[..count]),
            Ok(_) => connection.receive_eof(),
            Err(_) => connection.handle_timeout(),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let message = Stanza::message("im.example.com", "Wherefore art thou?")?;
    println!("{:?}", talk(&Local::start()?, &message).await?);
    Ok(())
}
