//! A client on smol.
use std::future::pending;
use std::time::Instant;

use onetrip_core::{Entity, Event, Request, stream::Stanza};
use onetrip_tests::echo::{Failure, Local};
use onetrip_tls::{Driven, Output};
use smol::future::FutureExt as _;
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::{Timer, net::TcpStream, unblock};

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
                    let key = unblock(move || key.perform()).await;
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
        let wait = connection.wait();
        let due = async {
            match wait {
                Some(wait) => _ = Timer::after(wait).await,
                None => pending().await,
            }
            None
        };
        let read = async { Some(socket.read(&mut buffer).await) };
        match read.or(due).await {
            Some(Ok(count @ 1..)) => received = connection.receive(&buffer[..count]),
            Some(_) => connection.receive_eof(),
            None => connection.handle_timeout(),
        }
    }
}

fn main() -> Result<(), Failure> {
    let message = Stanza::message("im.example.com", "Wherefore art thou?")?;
    println!("{:?}", smol::block_on(talk(&Local::start()?, &message))?);
    Ok(())
}
