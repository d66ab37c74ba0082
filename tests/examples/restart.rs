//! A session that outlives its process: stored in a file, resumed by the next.
use std::path::Path;

use onetrip_core::Resumption;
use onetrip_core::stream::Stanza;
use onetrip_tests::echo::{Failure, Local};
use onetrip_tokio::{Client, Event};

/// One process: goes on with the session in the file, if there is one; sends a text, takes one, and ends without a word.
/// Says whether the session went on, and which text came.
pub async fn live(server: &Local, file: &Path, text: &str) -> Result<(bool, String), Failure> {
    let mut settings = server.settings();
    if let Ok(stored) = std::fs::read(file) {
        settings.entity.keep(Resumption::from_bytes(&stored)?);
        // From here on it is this process's; a copy that is left could be used twice.
        std::fs::remove_file(file)?;
    }
    let mut client = Client::tcp(settings);
    client
        .send(&Stanza::message("im.example.com", text)?)
        .await?;
    let (mut went_on, mut came) = (false, None);
    while came.is_none() {
        match client.next().await.ok_or("over")? {
            Event::Online { resumed, .. } => went_on = resumed,
            Event::Stanza(stanza) => came = Some(stanza),
            Event::Offline { cause, .. } => return Err(cause.into()),
            _ => {}
        }
    }
    // It holds what was not acknowledged, and the stanza that was taken and not yet said to be handled comes again. It is
    // as good as a password: keep it as you keep one.
    client.handled(1);
    for resumption in client.into_entity().resumptions() {
        std::fs::write(file, resumption.to_bytes())?;
    }
    let came = came.and_then(|stanza| stanza.body());
    Ok((went_on, came.unwrap_or_default()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let (server, file) = (
        Local::start()?,
        std::env::temp_dir().join("onetrip.session"),
    );
    for text in ["before", "after"] {
        println!("{:?}", live(&server, &file, text).await?);
    }
    Ok(())
}
