//! A stream between two clients in band, with TLS between the two: what goes by way of their servers they cannot read.
use onetrip_core::e2e::{Config, EndToEnd, Event};
use onetrip_core::jingle::session;
use onetrip_core::minidom::Element;
use onetrip_core::stream::{Build as _, Domain, Env, Instant, Jid, Stanza, ns};
use onetrip_simulator::certificates::Certificates;
use onetrip_tests::echo::Failure;
use onetrip_tls::rustls::{ClientPairTls, RustlsSession, SystemEntropy, Versions};
use onetrip_tls::{EndOutput, SecuredEnd};

/// What is said in a message.
fn body(stanza: &Stanza) -> String {
    let body = stanza.element();
    let body = body.get_child("body", ns::CLIENT).map(Element::text);
    body.unwrap_or_default()
}

/// One end: its address, and how it takes part.
fn end(address: &Jid) -> Result<(Config, ClientPairTls), Failure> {
    let domain: &Domain = address.domain();
    let identity = Certificates::new(std::slice::from_ref(domain))?.server_identity();
    let tls = ClientPairTls::new(&identity, Versions::Both)?;
    let mut session = session::Config::new(Some(tls.certificate().to_vec()));
    session.s5b = false;
    Ok((Config::new(session), tls))
}

/// Sends a text from Romeo to Juliet, and gives out what she gets and all that the servers saw.
pub fn talk(text: &str) -> Result<(String, Vec<Element>), Failure> {
    let mut entropy = SystemEntropy::new();
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let [romeo, juliet]: [Jid; 2] = [
        "romeo@montague.lit/o".parse()?,
        "juliet@capulet.lit/b".parse()?,
    ];
    let ((config, tls), (hers, her_tls)) = (end(&romeo)?, end(&juliet)?);
    let machine = EndToEnd::initiate(config, env, romeo.clone(), juliet.clone(), None, vec![])?;
    let session = tls.session(machine.tls_role())?;
    let mut ends: [Option<SecuredEnd<RustlsSession>>; 2] =
        [Some(SecuredEnd::new(machine, session, env)), None];
    let (mut seen, mut got) = (Vec::new(), String::new());
    loop {
        let next = (0..2).find_map(|at| Some((at, ends[at].as_mut()?.poll_output()?)));
        match next {
            Some((at, EndOutput::Send(stanza))) => {
                let stanza = stanza.with_attr("from", [&romeo, &juliet][at].to_string());
                match &mut ends[1 - at] {
                    Some(other) => _ = other.handle(env, &stanza),
                    None => {
                        let machine =
                            EndToEnd::incoming(hers.clone(), env, juliet.clone(), &stanza, true)
                                .map_err(|_| "refused")?;
                        let session = her_tls.session(machine.tls_role())?;
                        ends[1]
                            .insert(SecuredEnd::new(machine, session, env))
                            .accept(env, vec![]);
                    }
                }
                seen.push(stanza);
            }
            Some((0, EndOutput::Event(Event::Online { .. }))) => {
                let end = ends[0].as_mut().ok_or("gone")?;
                end.send(env, &Stanza::message("juliet@capulet.lit", text)?)?;
                end.close(env);
            }
            Some((1, EndOutput::Event(Event::Stanza(received)))) => got = body(&received.stanza),
            Some(_) => {}
            None => return Ok((got, seen)),
        }
    }
}

// Dead where a test includes this file.
#[allow(dead_code)]
fn main() -> Result<(), Failure> {
    let (text, seen) = talk("Wherefore art thou?")?;
    println!("{text}, in {} stanzas", seen.len());
    Ok(())
}
