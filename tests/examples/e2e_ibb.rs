//! A stream between two clients in band, with TLS between the two: what goes by way of their servers they cannot read.
use onetrip_core::stream::{Build as _, Env, Instant, Jid, Stanza};
use onetrip_core::{e2e::*, jingle::session};
use onetrip_simulator::certificates::Certificates;
use onetrip_tests::echo::Failure;
use onetrip_tls::EndOutput;
use onetrip_tls::rustls::{ClientPairTls, SystemEntropy, Versions};

/// How one end takes part: in band only, and with a certificate of its own.
fn end(us: &Jid) -> Result<(Config, ClientPairTls), Failure> {
    let certificates = Certificates::new(&[us.domain().clone()])?;
    let tls = ClientPairTls::new(&certificates.server_identity(), Versions::Both)?;
    let mut session = session::Config::new(Some(tls.certificate().to_vec()));
    session.s5b = false;
    Ok((Config::new(session), tls))
}

/// Sends a text from Romeo to Juliet, and gives out what she gets and all that the servers saw.
pub fn talk(text: &str) -> Result<(String, Vec<Stanza>), Failure> {
    let mut entropy = SystemEntropy::new();
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let romeo: Jid = "romeo@montague.lit/o".parse()?;
    let juliet: Jid = "juliet@capulet.lit/b".parse()?;
    let ((config, tls), (hers, her_tls)) = (end(&romeo)?, end(&juliet)?);
    let machine = EndToEnd::initiate(config, env, romeo.clone(), juliet.clone(), None, vec![])?;
    let mut ends = [Some(tls.secure(machine, env)?), None];
    let (mut seen, mut got) = (Vec::new(), None);
    loop {
        let next = (0..2).find_map(|at| Some((at, ends[at].as_mut()?.poll_output()?)));
        match next {
            Some((at, EndOutput::Send(stanza))) => {
                let from = [&romeo, &juliet][at].to_string(); // as the servers say
                let stanza = Stanza::from_element(&stanza.element().with_attr("from", from))?;
                if let Some(other) = &mut ends[1 - at] {
                    other.handle(env, &stanza);
                } else {
                    let end = EndToEnd::incoming(hers.clone(), env, juliet.clone(), &stanza, true);
                    let mut end = her_tls.secure(end.map_err(|_| "refused")?, env)?;
                    end.accept(env, vec![]);
                    ends[1] = Some(end);
                }
                seen.push(stanza);
            }
            Some((0, EndOutput::Event(Event::Online { .. }))) => {
                let end = ends[0].as_mut().ok_or("gone")?;
                end.send(env, &Stanza::message("juliet@capulet.lit", text)?)?;
                end.close(env);
            }
            Some((1, EndOutput::Event(Event::Stanza(received)))) => got = received.stanza.body(),
            Some(_) => {}
            None => return Ok((got.unwrap_or_default(), seen)),
        }
    }
}

fn main() -> Result<(), Failure> {
    let (text, seen) = talk("Wherefore art thou?")?;
    println!("{text}, in {} stanzas", seen.len());
    Ok(())
}
