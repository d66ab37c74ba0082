//! `<transport/>` in both forms.

use minidom::Element;
use onetrip_stream::{Build as _, Jid, ns};

use super::{Candidate, CandidateKind};
use crate::iq::number;
use crate::socks5::Destination;

/// The port of a streamhost that names none (XEP-0065 §9.2).
const DEFAULT_PORT: u16 = 1080;

/// How many candidates of a peer are looked at.
const MAX_CANDIDATES: usize = 32;

/// Which form of the transport is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// `s5b:0`: streamhosts, in their order.
    Streamhosts,
    /// `s5b:1`: candidates, by priority.
    Candidates,
}

impl Form {
    /// The namespace.
    #[must_use]
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::Streamhosts => ns::JINGLE_S5B_0,
            Self::Candidates => ns::JINGLE_S5B_1,
        }
    }
}

/// How a report names a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reference {
    /// By its name.
    Cid(String),
    /// By whose it is; host and port tell equal ones apart (JXS-14).
    Streamhost {
        /// Whose it is.
        jid: Jid,
        /// The host, if it was said.
        host: Option<String>,
        /// The port, if it was said.
        port: Option<u16>,
    },
}

impl Reference {
    /// How a report in this form names a candidate.
    #[must_use]
    pub fn to(candidate: &Candidate, form: Form) -> Self {
        match form {
            Form::Candidates => Self::Cid(candidate.cid.clone()),
            Form::Streamhosts => Self::Streamhost {
                jid: candidate.jid.clone(),
                host: Some(candidate.host.clone()),
                port: Some(candidate.port),
            },
        }
    }

    /// Where in a list the named candidate is.
    #[must_use]
    pub fn find(&self, candidates: &[Candidate]) -> Option<usize> {
        candidates.iter().position(|candidate| match self {
            Self::Cid(cid) => candidate.cid == *cid,
            Self::Streamhost { jid, host, port } => {
                candidate.jid == *jid
                    && host.as_ref().is_none_or(|host| candidate.host == *host)
                    && port.is_none_or(|port| candidate.port == port)
            }
        })
    }
}

/// What one end tells the other in a transport-info.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Info {
    /// `<candidate-used/>`, `<streamhost-used/>`: it got through to this one of the other's.
    Used(Reference),
    /// `<candidate-error/>`, `<streamhost-error/>`: to none.
    Error,
    /// `<activated/>`: the proxy of this name passes bytes on.
    Activated(String),
    /// `<proxy-error/>`: it does not.
    ProxyError,
}

/// A `<transport/>` of SOCKS5 bytestreams.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transport {
    /// In which form.
    pub form: Form,
    /// The sid of the transport, which goes into [`Destination`].
    pub sid: String,
    /// What the sender expects at its proxies.
    pub dstaddr: Option<Destination>,
    /// The sender's candidates, in the order of the document.
    pub candidates: Vec<Candidate>,
    /// What is reported.
    pub info: Option<Info>,
    /// Whether datagrams are wanted, which this crate does not have.
    pub udp: bool,
}

impl Transport {
    /// A transport that says nothing yet.
    #[must_use]
    pub fn new(form: Form, sid: impl Into<String>) -> Self {
        Self {
            form,
            sid: sid.into(),
            dstaddr: None,
            candidates: Vec::new(),
            info: None,
            udp: false,
        }
    }

    /// Reads an element; `None` when it is no such transport or has no sid. Candidates that cannot be used, such as one
    /// with `zeroconf` instead of a port (JXS-30), are left out.
    #[must_use]
    pub fn read(element: &Element, sender: &Jid) -> Option<Self> {
        let form = [Form::Candidates, Form::Streamhosts]
            .into_iter()
            .find(|form| element.is("transport", form.namespace()))?;
        let mut transport = Self::new(form, element.attr("sid").filter(|sid| !sid.is_empty())?);
        transport.dstaddr = element.attr("dstaddr").and_then(Destination::read);
        transport.udp = element.attr("mode") == Some("udp");
        for child in element
            .children()
            .filter(|child| child.has_ns(form.namespace()))
        {
            let place = transport.candidates.len();
            let candidate = match (form, child.name()) {
                _ if place >= MAX_CANDIDATES => None,
                (Form::Candidates, "candidate") => read_candidate(child),
                (Form::Streamhosts, "streamhost") => read_streamhost(child, place, sender),
                _ => None,
            };
            transport.candidates.extend(candidate);
            if let Some(info) = read_info(form, child) {
                transport.info = Some(info);
            }
        }
        Some(transport)
    }

    /// The element as it goes out; `mode` comes from the initiator alone.
    #[must_use]
    pub fn to_element(&self, from_initiator: bool) -> Element {
        let namespace = self.form.namespace();
        let mut element = Element::bare("transport", namespace).with_attr("sid", &self.sid);
        if from_initiator || self.form == Form::Streamhosts {
            element = element.with_attr("mode", "tcp");
        }
        if let (Form::Candidates, Some(dstaddr)) = (self.form, &self.dstaddr) {
            element = element.with_attr("dstaddr", dstaddr.as_str());
        }
        for candidate in &self.candidates {
            element.append_child(write_candidate(candidate, self.form));
        }
        if let Some(info) = &self.info {
            element.append_child(write_info(info, self.form));
        }
        element
    }
}

fn read_candidate(element: &Element) -> Option<Candidate> {
    Some(Candidate {
        cid: element.attr("cid")?.to_owned(),
        host: element.attr("host")?.to_owned(),
        port: element.attr("port").map_or(Some(DEFAULT_PORT), number)?,
        jid: element.attr("jid")?.parse().ok()?,
        priority: number(element.attr("priority")?)?,
        kind: element
            .attr("type")
            .map_or(Some(CandidateKind::Direct), CandidateKind::from_name)?,
    })
}

fn read_streamhost(element: &Element, place: usize, sender: &Jid) -> Option<Candidate> {
    let jid: Jid = element.attr("jid")?.parse().ok()?;
    let port = match (element.attr("port"), element.attr("zeroconf")) {
        (Some(port), _) => number(port)?,
        (None, Some(_)) => return None,
        (None, None) => DEFAULT_PORT,
    };
    Some(Candidate {
        cid: String::new(),
        host: element.attr("host")?.to_owned(),
        port,
        priority: u32::MAX.saturating_sub(u32::try_from(place).ok()?),
        kind: if jid == *sender {
            CandidateKind::Direct
        } else {
            CandidateKind::Proxy
        },
        jid,
    })
}

fn write_candidate(candidate: &Candidate, form: Form) -> Element {
    let address = |name: &str| {
        Element::bare(name, form.namespace())
            .with_attr("jid", candidate.jid.to_string())
            .with_attr("host", &candidate.host)
            .with_attr("port", candidate.port.to_string())
    };
    match form {
        Form::Streamhosts => address("streamhost"),
        Form::Candidates => address("candidate")
            .with_attr("cid", &candidate.cid)
            .with_attr("priority", candidate.priority.to_string())
            .with_attr("type", candidate.kind.name()),
    }
}

fn read_info(form: Form, element: &Element) -> Option<Info> {
    let cid = || element.attr("cid").map(str::to_owned);
    match (form, element.name()) {
        (Form::Candidates, "candidate-used") => Some(Info::Used(Reference::Cid(cid()?))),
        (Form::Streamhosts, "streamhost-used") => Some(Info::Used(Reference::Streamhost {
            jid: element.attr("jid")?.parse().ok()?,
            host: element.attr("host").map(str::to_owned),
            port: element.attr("port").and_then(number),
        })),
        (Form::Candidates, "candidate-error") | (Form::Streamhosts, "streamhost-error") => {
            Some(Info::Error)
        }
        (Form::Candidates, "activated") => Some(Info::Activated(cid()?)),
        (Form::Candidates, "proxy-error") => Some(Info::ProxyError),
        _ => None,
    }
}

fn write_info(info: &Info, form: Form) -> Element {
    let bare = |name: &str| Element::bare(name, form.namespace());
    match info {
        Info::Used(Reference::Cid(cid)) => bare("candidate-used").with_attr("cid", cid),
        Info::Used(Reference::Streamhost { jid, host, port }) => {
            let mut used = bare("streamhost-used").with_attr("jid", jid.to_string());
            if let Some(host) = host {
                used = used.with_attr("host", host);
            }
            if let Some(port) = port {
                used = used.with_attr("port", port.to_string());
            }
            used
        }
        Info::Activated(cid) => bare("activated").with_attr("cid", cid),
        // Streamhosts have one word for every failure.
        Info::Error | Info::ProxyError if form == Form::Streamhosts => bare("streamhost-error"),
        Info::Error => bare("candidate-error"),
        Info::ProxyError => bare("proxy-error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iq::testing::*;

    fn read(xml: &str) -> Transport {
        Transport::read(&xml.parse().unwrap(), &romeo()).unwrap()
    }

    #[test]
    fn jxs_10_14_30_streamhosts_as_the_founding_text_has_them() {
        let transport = read(
            "<transport xmlns='urn:xmpp:jingle:transports:s5b:0' sid='vj3hs98y' mode='tcp'>\
             <streamhost jid='romeo@montague.lit/orchard' host='192.168.4.1' port='5086'/>\
             <streamhost jid='streamer.shakespeare.lit' host='24.24.24.1' zeroconf='_jabber.bytestreams'/>\
             <streamhost jid='streamer.shakespeare.lit' host='24.24.24.2'/></transport>",
        );
        let [first, second] = &transport.candidates[..] else {
            panic!()
        };
        assert_eq!((first.port, first.kind), (5086, CandidateKind::Direct));
        assert_eq!((second.port, second.kind), (1080, CandidateKind::Proxy));
        assert!(first.priority > second.priority);
        let used = read(
            "<transport xmlns='urn:xmpp:jingle:transports:s5b:0' sid='vj3hs98y'>\
             <streamhost-used jid='streamer.shakespeare.lit' host='24.24.24.2' port='1080'/></transport>",
        );
        let Some(Info::Used(reference)) = &used.info else {
            panic!()
        };
        assert_eq!(reference.find(&transport.candidates), Some(1));
    }

    #[test]
    fn equal_addresses_are_told_apart_by_host_and_port() {
        let host = |port| Candidate::new("", CandidateKind::Direct, romeo(), "h", port, 0);
        let list = [host(1), host(2)];
        for (place, candidate) in list.iter().enumerate() {
            assert_eq!(
                Reference::to(candidate, Form::Streamhosts).find(&list),
                Some(place)
            );
        }
        let bare = Reference::Streamhost {
            jid: romeo(),
            host: None,
            port: None,
        };
        assert_eq!(bare.find(&list), Some(0));
    }

    #[test]
    fn everything_survives_the_wire() {
        for form in [Form::Candidates, Form::Streamhosts] {
            let direct =
                Candidate::new("a", CandidateKind::Direct, romeo(), "192.168.4.1", 5086, 7);
            let mut transport = Transport::new(form, "s");
            let mut infos = vec![
                None,
                Some(Info::Error),
                Some(Info::Used(Reference::to(&direct, form))),
            ];
            if form == Form::Candidates {
                transport.dstaddr = Some(Destination::new("s", &romeo(), &juliet()));
                transport.candidates = vec![direct];
                infos.extend([Some(Info::Activated("a".into())), Some(Info::ProxyError)]);
            }
            for info in infos {
                transport.info = info;
                assert_eq!(
                    Transport::read(&transport.to_element(true), &romeo()),
                    Some(transport.clone())
                );
            }
        }
    }

    #[test]
    fn mode_comes_from_the_initiator_alone() {
        let transport = Transport::new(Form::Candidates, "s");
        assert_eq!(transport.to_element(true).attr("mode"), Some("tcp"));
        assert_eq!(transport.to_element(false).attr("mode"), None);
    }

    #[test]
    fn no_more_candidates_are_looked_at_than_32() {
        let mut transport = Transport::new(Form::Candidates, "s");
        transport.candidates = (0..100)
            .map(|local| {
                Candidate::new(
                    local.to_string(),
                    CandidateKind::Direct,
                    romeo(),
                    "h",
                    1,
                    local,
                )
            })
            .collect();
        let read = Transport::read(&transport.to_element(true), &romeo()).unwrap();
        assert_eq!(read.candidates.len(), 32);
    }
}
