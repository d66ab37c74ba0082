//! A server on blocking sockets: a thread for each client, every message sent back.
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Build as _, Stanza};
use onetrip_core::{Event, Request};
use onetrip_tests::echo::{Echo, Failure, Offers};
use onetrip_tls::{Driven, Output};

/// Takes clients for ever.
pub fn listen(server: &Arc<Echo>, listener: &TcpListener) -> Result<(), Failure> {
    loop {
        let (server, (socket, _)) = (Arc::clone(server), listener.accept()?);
        std::thread::spawn(move || serve(&server, socket));
    }
}

fn serve(server: &Echo, mut socket: TcpStream) -> Result<(), Failure> {
    let began = Instant::now();
    let config = server.config(Transport::StartTls);
    let mut connection = Driven::server(config, server.tls(), move || began.elapsed())?;
    let mut buffer = [0; 16 * 1024];
    loop {
        while let Some(output) = connection.poll_output() {
            match output {
                Output::Transmit(bytes) => socket.write_all(&bytes)?,
                Output::Request(Request::Sasl { domain, request }) => {
                    connection.answer(server.accounts.decide(request, &domain).into())?;
                }
                Output::Request(Request::Bind { account, request }) => {
                    let bound = request.grant(&account, &mut connection.env());
                    connection.answer(bound.into())?;
                }
                Output::Event(Event::Stanza(stanza)) => {
                    let back = stanza.element().with_attr("from", server.domain.as_str());
                    connection.send(&Stanza::from_element(&back)?)?;
                }
                Output::Close => return Ok(()),
                _ => {}
            }
        }
        let wait = connection.wait();
        socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))?;
        match socket.read(&mut buffer) {
            Ok(count @ 1..) => _ = connection.receive(&buffer[..count]),
            Ok(_) => connection.receive_eof(),
            Err(_) => connection.handle_timeout(),
        }
    }
}

fn main() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:5222")?;
    listen(&Echo::new(Offers::NONE), &listener)
}
