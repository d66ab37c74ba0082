//! A server on tokio: a task for each client, every message sent back.
use std::sync::Arc;

use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Build as _, Stanza};
use onetrip_core::{Event, Request};
use onetrip_tests::echo::{Echo, Failure, Offers};
use onetrip_tls::Output;
use onetrip_tokio::Connection;
use tokio::net::{TcpListener, TcpStream};

/// Takes clients for ever.
pub async fn listen(server: Arc<Echo>, listener: TcpListener) -> Result<(), Failure> {
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(serve(Arc::clone(&server), socket));
    }
}

async fn serve(server: Arc<Echo>, socket: TcpStream) -> Result<(), Failure> {
    let config = server.config(Transport::StartTls);
    let mut connection = Connection::server(socket, config, server.tls())?;
    while let Some(output) = connection.next().await {
        match output {
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
            _ => {}
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:5222").await?;
    listen(Echo::new(Offers::NONE), listener).await
}
