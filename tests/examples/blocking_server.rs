//! A server on blocking sockets: a thread for each client, every message sent back.
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Build as _, Outside, Stanza};
use onetrip_core::{Answer, Connection, Event, Request};
use onetrip_simulator::accounts::bind;
use onetrip_tests::echo::{Echo, Failure, Offers};
use onetrip_tls::rustls::{RustlsSession, SystemEntropy};
use onetrip_tls::{Output, Secured};

/// Takes clients for ever.
pub fn listen(server: &Arc<Echo>, listener: &TcpListener) -> Result<(), Failure> {
    loop {
        let (server, (socket, _)) = (Arc::clone(server), listener.accept()?);
        std::thread::spawn(move || serve(&server, socket));
    }
}

fn serve(server: &Echo, mut socket: TcpStream) -> Result<(), Failure> {
    let began = Clock::now();
    let mut outside = Outside::new(move || began.elapsed(), SystemEntropy::new());
    let machine = Connection::server(server.config(Transport::StartTls), &mut outside.env());
    let mut connection = Secured::new(machine, RustlsSession::server(server.tls())?);
    let mut buffer = [0; 16 * 1024];
    loop {
        while let Some(output) = connection.poll_output() {
            match output {
                Output::Transmit(bytes) => socket.write_all(&bytes)?,
                Output::Request(Request::Sasl { domain, request }) => {
                    let decision = server.accounts.decide(request, &domain);
                    connection.answer(&mut outside.env(), Answer::Sasl(decision))?;
                }
                Output::Request(Request::Bind { account, request }) => {
                    let bound = bind(&request, &account, &mut outside.env());
                    connection.answer(&mut outside.env(), bound)?;
                }
                Output::Event(Event::Stanza(stanza)) => {
                    let back = stanza.element().with_attr("from", server.domain.as_str());
                    connection.send(&mut outside.env(), &Stanza::from_element(&back)?)?;
                }
                Output::Close => return Ok(()),
                _ => {}
            }
        }
        let wait = connection.wait(outside.now());
        socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))?;
        match socket.read(&mut buffer) {
            Ok(count @ 1..) => connection.receive(&mut outside.env(), &buffer[..count])?,
            Ok(_) => connection.receive_eof(&mut outside.env()),
            Err(_) => connection.handle_timeout(&mut outside.env()),
        }
    }
}

// Dead where a test includes this file.
#[allow(dead_code)]
fn main() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:5222")?;
    listen(&Echo::new(Offers::NONE), &listener)
}
