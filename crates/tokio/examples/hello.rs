//! Sends one message.
use onetrip_tokio::{Client, Event, Settings, core::stream::Stanza};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [account, password, to] = ["ACCOUNT", "PASSWORD", "TO"].map(std::env::var);
    let settings = Settings::new(account?.parse()?, password?)?;
    let message = Stanza::message(&to?, "Wherefore art thou?")?;
    let mut client = Client::tcp(settings);
    while let Some(event) = client.next().await {
        match event {
            Event::Online { .. } => _ = client.send(&message).await?,
            Event::Acked(_) => client.close().await,
            Event::Offline { cause, .. } => return Err(cause.into()),
            _ => {}
        }
    }
    Ok(())
}
