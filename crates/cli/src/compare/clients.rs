//! Two clients of the target, with a stream between them: what it takes from session-initiate on.

use std::net::{IpAddr, Ipv4Addr};

use onetrip_core::e2e::Config;
use onetrip_core::jingle::s5b::{Candidate, CandidateKind};
use onetrip_core::jingle::session;
use onetrip_simulator::{Carrier, Strategy};
use tokio::net::TcpListener;

use super::row::{Row, milliseconds};
use super::target::Target;
use crate::Failure;
use crate::converse::client::Client;
use crate::converse::driver::{Driver, Job, Talk};
use crate::converse::identity;

/// How many stanzas each end sends.
const STANZAS: u32 = 20;

/// Two clients of the same account, as often as asked. Round trips are not counted here: the two ends take several ways at
/// once.
pub(super) async fn run(target: &Target, carrier: Carrier, runs: u32) -> Result<Row, Failure> {
    let mut row = Row {
        strategy: Some(Strategy::Clients(carrier)),
        runs,
        ..Row::default()
    };
    let mut passed = Vec::new();
    for _ in 0..runs {
        match talk(target, carrier).await {
            Ok(talk) if talk.is_whole() => {
                let (send, answer) = talk.to_send.zip(talk.to_answer).unwrap_or_default();
                passed.push((milliseconds(send), milliseconds(answer), talk.bytes));
            }
            Ok(talk) => {
                row.lost += 1;
                row.reason.get_or_insert(talk.end);
            }
            Err(Failure::Check(reason)) => {
                row.lost += 1;
                row.reason.get_or_insert(reason);
            }
            Err(failure) => return Err(failure),
        }
    }
    passed.sort_by(|a, b| a.1.total_cmp(&b.1));
    if let (Some(first), Some(last)) = (passed.first(), passed.last()) {
        row.spread = Some((first.1, last.1));
    }
    if let Some((send, answer, bytes)) = passed.get(passed.len() / 2) {
        row.ms = Some((*send, *answer));
        row.bytes = *bytes;
    }
    Ok(row)
}

/// One session, both ends of it here.
async fn talk(target: &Target, carrier: Carrier) -> Result<Talk, Failure> {
    let (mut romeo, mut juliet) = (
        Client::connect(target).await?,
        Client::connect(target).await?,
    );
    let job = |to| {
        let tls = identity(target.account.domain()).map_err(Failure::Check)?;
        let mut session = session::Config::new(Some(tls.certificate().to_vec()));
        session.s5b = carrier == Carrier::Socks5;
        // Both ends are on this very host.
        session.addresses.allow_loopback = true;
        Ok::<_, Failure>(Job {
            config: Config::new(session),
            tls,
            to,
            stanzas: STANZAS,
        })
    };
    let listener = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let unheard = |error: std::io::Error| Failure::Check(error.to_string());
    let (ours, theirs) = (
        listener().await.map_err(unheard)?,
        listener().await.map_err(unheard)?,
    );
    let port = theirs.local_addr().map_err(unheard)?.port();
    let (kind, host) = (CandidateKind::Direct, IpAddr::from(Ipv4Addr::LOCALHOST));
    let offered = Candidate::new("a", kind, juliet.jid.clone(), host.to_string(), port, 0);
    let peer = juliet.jid.clone();
    let waits = Driver::run(job(None)?, &mut juliet, theirs, vec![offered]);
    let opens = Driver::run(job(Some(peer))?, &mut romeo, ours, Vec::new());
    let both = tokio::try_join!(opens, waits);
    romeo.close().await?;
    juliet.close().await?;
    Ok(both?.0)
}
