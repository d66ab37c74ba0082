//! A server on tokio: a task for each client, every message sent back.
use std::sync::Arc;

use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Build as _, Env, Instant, Stanza};
use onetrip_core::{Answer, Event, Request};
use onetrip_simulator::accounts::bind;
use onetrip_tests::echo::{Echo, Failure, Offers};
use onetrip_tls::Output;
use onetrip_tls::rustls::SystemEntropy;
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
                let decision = server.accounts.decide(request, &domain);
                connection.answer(Answer::Sasl(decision))?;
            }
            Output::Request(Request::Bind { account, request }) => {
                let mut entropy = SystemEntropy::new();
                let env = &mut Env::new(Instant::EPOCH, &mut entropy);
                connection.answer(bind(&request, &account, env))?;
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

// Dead where a test includes this file.
#[allow(dead_code)]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:5222").await?;
    listen(Echo::new(Offers::NONE), listener).await
}
