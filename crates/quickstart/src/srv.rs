//! From the SRV records of a domain to the places to try, in their order (RFC 6120 §3.2, RFC 2782, XEP-0368 §3).

use onetrip_stream::{Domain, Entropy};

use crate::{Target, Transport};

/// Where clients are served that use STARTTLS, if nothing is said (RFC 6120 §14.7).
const PORT: u16 = 5222;

/// One SRV record: of `_xmpp-client._tcp` for STARTTLS, of `_xmpps-client._tcp` for direct TLS.
///
/// ```
/// # use onetrip_quickstart::{Srv, Transport};
/// # use onetrip_stream::Domain;
/// # let domain = Domain::new("capulet.lit").unwrap();
/// # let mut random = |out: &mut [u8]| out.fill(4);
/// let record = |priority, host: &str, port, transport| Srv { priority, weight: 0, host: host.into(), port, transport };
/// let records = vec![
///     record(10, "xmpp.capulet.lit.", 5222, Transport::StartTls),
///     record(5, "xmpp.capulet.lit.", 443, Transport::DirectTls),
/// ];
/// let targets = Srv::targets(&domain, records, &mut random);
/// assert_eq!((targets[0].port, targets[1].port), (443, 5222));
/// // No record at all: the domain itself, at the usual port.
/// assert_eq!(Srv::targets(&domain, vec![], &mut random)[0].host, "capulet.lit");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Srv {
    /// The lower, the sooner.
    pub priority: u16,
    /// Among those of one priority, the heavier, the likelier.
    pub weight: u16,
    /// The host; the root (`.`) says that there is no such service.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// Which of the two services it is of.
    pub transport: Transport,
}

impl Srv {
    /// The places to try, in their order: both services mixed (XEP-0368 §3), by priority, and at random by weight among
    /// equals. Without any record it is the domain itself with STARTTLS (RFC 6120 §3.2.2); none at all where the records say
    /// that there is no such service.
    #[must_use]
    pub fn targets(
        domain: &Domain,
        mut records: Vec<Self>,
        entropy: &mut dyn Entropy,
    ) -> Vec<Target> {
        if records.is_empty() {
            let host = domain.as_str().to_owned();
            return vec![target(host, PORT, Transport::StartTls)];
        }
        records.retain(|record| !record.is_refusal());
        // Those without weight come first among equals, so that they have a small chance (RFC 2782).
        records.sort_by_key(|record| (record.priority, record.weight != 0));
        let mut targets = Vec::with_capacity(records.len());
        while let Some(first) = records.first() {
            let equals = records
                .iter()
                .take_while(|record| record.priority == first.priority);
            let next = records.remove(draw(equals, entropy));
            let host = next.host.trim_end_matches('.').to_owned();
            targets.push(target(host, next.port, next.transport));
        }
        targets
    }

    fn is_refusal(&self) -> bool {
        matches!(self.host.as_str(), "" | ".")
    }
}

fn target(host: String, port: u16, transport: Transport) -> Target {
    Target {
        host,
        port,
        transport,
    }
}

/// Which of the records is next: each as likely as it is heavy (RFC 2782, "Weight").
fn draw<'a>(equals: impl Iterator<Item = &'a Srv> + Clone, entropy: &mut dyn Entropy) -> usize {
    let weights = equals.map(|record| u32::from(record.weight));
    let total: u32 = weights.clone().fold(0, u32::saturating_add);
    let mut bytes = [0; 4];
    entropy.fill(&mut bytes);
    let number = u32::from_be_bytes(bytes);
    let mut left = number.checked_rem(total.saturating_add(1)).unwrap_or(0);
    for (index, weight) in weights.enumerate() {
        match left.checked_sub(weight) {
            Some(more @ 1..) => left = more,
            _ => return index,
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn srv(priority: u16, weight: u16, host: &str) -> Srv {
        Srv {
            priority,
            weight,
            host: host.into(),
            port: 5222,
            transport: Transport::StartTls,
        }
    }

    fn order(records: Vec<Srv>, number: u32) -> Vec<String> {
        let domain = Domain::new("capulet.lit").unwrap();
        let mut entropy = |out: &mut [u8]| out.copy_from_slice(&number.to_be_bytes());
        let targets = Srv::targets(&domain, records, &mut entropy);
        targets.into_iter().map(|target| target.host).collect()
    }

    /// RFC 2782: the lowest priority first, whatever the weights.
    #[test]
    fn priorities_come_in_their_order() {
        let records = vec![srv(20, 9, "c"), srv(5, 0, "a"), srv(10, 1, "b.")];
        for number in [0, 1, 7, u32::MAX] {
            assert_eq!(order(records.clone(), number), ["a", "b", "c"]);
        }
    }

    /// RFC 2782: among equals each is first as often as it is heavy, and one without weight hardly ever.
    #[test]
    fn equals_come_as_often_as_they_are_heavy() {
        let records = vec![srv(5, 3, "heavy"), srv(5, 1, "light"), srv(5, 0, "none")];
        let mut first = BTreeMap::new();
        for number in 0..5_000 {
            let hosts = order(records.clone(), number);
            assert_eq!(hosts.len(), 3);
            *first.entry(hosts[0].clone()).or_insert(0) += 1;
        }
        let expected = [("heavy", 3_000), ("light", 1_000), ("none", 1_000)];
        assert_eq!(
            first,
            expected.map(|(host, times)| (host.into(), times)).into()
        );
    }

    /// RFC 2782, RFC 6120 §3.2.1: the root says no, and is not to be worked around by the usual port.
    #[test]
    fn the_root_says_that_there_is_no_such_service() {
        assert!(order(vec![srv(0, 0, ".")], 0).is_empty());
        assert_eq!(order(vec![srv(0, 0, ""), srv(1, 0, "a")], 0), ["a"]);
    }

    /// RFC 6120 §3.2.2.
    #[test]
    fn without_records_it_is_the_domain_itself() {
        assert_eq!(order(vec![], 0), ["capulet.lit"]);
    }
}
