//! What `drive` sets up, prints and reads of SASL2: tokens (XEP-0484) and tasks (XEP-0388 §2.6.3).

use minidom::Element;
use onetrip_core::fast::{self, DateTime, Ticket};
use onetrip_core::isr::Token;
use onetrip_core::negotiation::sasl::{Mechanism, Refusal};
use onetrip_core::negotiation::sasl2::{Failure as Sasl2Failure, UserAgent};
use onetrip_core::stream::{Instant, Jid};
use onetrip_core::{
    Answer, Event, FastLogin, Installation, Registry, Request, Sasl2Login, Sasl2Offer, TaskPrompt,
    TaskReply, TaskStep, TaskVerdict,
};
use serde_json::{Value, json};

use super::config::Config;
use crate::Failure;

/// What day it is: the time of `drive` begins with 1970.
pub(super) fn today(now: Instant) -> DateTime {
    DateTime::from_unix_seconds(now.since_epoch().as_secs())
}

/// How a client logs in by SASL2, if it does.
pub(super) fn login(config: &Config<'_>) -> Result<Option<Sasl2Login>, Failure> {
    if !config.flag("sasl2", false) {
        return Ok(None);
    }
    let mut login = Sasl2Login::default();
    login.user_agent = config.get("agent").map(UserAgent::new);
    login.tag = config.get("tag").map(str::to_owned);
    login.tasks = names(config.get("tasks"));
    let wanted = names(config.get("fast"));
    let token = token(config)?;
    login.fast = (token.is_some() || !wanted.is_empty()).then(|| {
        let mut fast = FastLogin::new(fast::Policy::new(wanted)).at(today(Instant::EPOCH));
        if let Some((mechanism, token)) = token {
            let ticket = Ticket::new(token, mechanism.name(), DateTime::MAX);
            fast.wallet.put(ticket);
        }
        fast
    });
    Ok(Some(login))
}

/// How a server offers it, if it does.
pub(super) fn offer(config: &Config<'_>) -> Option<Sasl2Offer> {
    config.flag("sasl2", false).then(|| {
        let mut offer = Sasl2Offer::default();
        offer.config_version = config.get("config-version").map(str::to_owned);
        offer.fast = config.flag("fast", false);
        offer.tasks = config.flag("tasks", false);
        offer
    })
}

/// The server's tokens: the one of `token`, which the client `agent` of this account has.
pub(super) fn fill(
    config: &Config<'_>,
    account: Option<&Jid>,
    registry: &mut Registry,
) -> Result<(), Failure> {
    let date = today(Instant::EPOCH);
    registry.set_date(Instant::EPOCH, date);
    let known = account.zip(config.get("agent"));
    if let (Some((account, agent)), Some((mechanism, token))) = (known, token(config)?) {
        let issue = fast::Issue::new(account, agent, token, mechanism.name());
        registry.logins_mut().issue(&issue, date);
    }
    Ok(())
}

/// A token, as MECHANISM:TOKEN.
fn token(config: &Config<'_>) -> Result<Option<(Mechanism, Token)>, Failure> {
    let read = |text: &str| {
        let (mechanism, token) = text.split_once(':')?;
        let mechanism = Mechanism::from_name(mechanism).filter(|known| known.is_token())?;
        Some((mechanism, Token::read(token)?))
    };
    let usage = || Failure::Usage("token: HT-SHA-256-NONE:TOKEN, or another of these".to_owned());
    let text = config.get("token");
    text.map(|text| read(text).ok_or_else(usage)).transpose()
}

fn names(list: Option<&str>) -> Vec<String> {
    let list = list.into_iter().flat_map(|list| list.split(','));
    list.map(str::to_owned).collect()
}

/// A question that only SASL2 has.
pub(super) fn request_json(request: &Request) -> Option<Value> {
    Some(match request {
        Request::FastIssue(issue) => {
            json!({"request": "fast-issue", "account": issue.account.to_string(), "client": issue.client, "mechanism": issue.mechanism})
        }
        Request::FastSwap(swap) => {
            let claim = &swap.claim;
            json!({"request": "fast-swap", "account": claim.account.to_string(), "client": claim.client, "mechanism": claim.mechanism, "count": claim.count, "early": claim.early, "invalidate": claim.invalidate})
        }
        Request::TaskPrompt(TaskPrompt::Choose { tasks, text }) => {
            json!({"request": "task-choose", "tasks": tasks, "text": text})
        }
        Request::TaskPrompt(TaskPrompt::Data(data)) => {
            json!({"request": "task-data", "data": shown(data)})
        }
        Request::TaskStep { account, step } => {
            let account = account.to_string();
            match step {
                TaskStep::Proved(mechanism) => {
                    json!({"request": "task-proved", "account": account, "mechanism": mechanism.name()})
                }
                TaskStep::Begun { task, children } => {
                    json!({"request": "task-begun", "account": account, "task": task, "data": shown(children)})
                }
                TaskStep::Data(data) => {
                    json!({"request": "task-data", "account": account, "data": shown(data)})
                }
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// What is to be kept for logins by token.
pub(super) fn tokens_json(kept: &Installation, now: Instant, show: bool) -> Value {
    let next = kept.wallet.next(today(now)).map(|ticket| {
        let token = if show {
            ticket.token.expose()
        } else {
            "[hidden]"
        };
        json!({"mechanism": ticket.mechanism, "token": token, "expiry": ticket.expiry.to_string(), "count": ticket.count})
    });
    json!({"event": "tokens", "next": next})
}

/// An event that only SASL2 has.
pub(super) fn event_json(event: &Event) -> Option<Value> {
    match event {
        Event::UnknownTasks { offered } => {
            Some(json!({"event": "unknown-tasks", "offered": offered}))
        }
        _ => None,
    }
}

/// An answer that only SASL2 has: a client's are `begin` (with `data`), `reply` and `abort`, a server's `done`, `demand`,
/// `further` and `deny`.
pub(super) fn answer(value: &Value) -> Result<Option<Answer>, Failure> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let answer = if let Some(task) = text("begin") {
        let children = elements(value.get("data"))?;
        Answer::TaskReply(TaskReply::Begin { task, children })
    } else if value.get("reply").is_some() {
        Answer::TaskReply(TaskReply::Data(elements(value.get("reply"))?))
    } else if value.get("abort").is_some() {
        Answer::TaskReply(TaskReply::Abort)
    } else if value.get("done").is_some() {
        Answer::TaskVerdict(TaskVerdict::Done)
    } else if let Some(tasks) = value.get("demand").and_then(Value::as_array) {
        let tasks = tasks.iter().filter_map(Value::as_str).map(str::to_owned);
        Answer::TaskVerdict(TaskVerdict::Demand {
            tasks: tasks.collect(),
            text: text("text"),
        })
    } else if value.get("further").is_some() {
        Answer::TaskVerdict(TaskVerdict::Data(elements(value.get("further"))?))
    } else if value.get("deny").is_some() {
        let failure = Sasl2Failure::new(Refusal::NotAuthorized);
        Answer::TaskVerdict(TaskVerdict::Refuse(failure))
    } else {
        return Ok(None);
    };
    Ok(Some(answer))
}

fn elements(list: Option<&Value>) -> Result<Vec<Element>, Failure> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    let texts = list.filter_map(Value::as_str);
    let read = |text: &str| {
        let parsed = text.parse::<Element>();
        parsed.map_err(|error| Failure::Usage(format!("{text}: {error}")))
    };
    texts.map(read).collect()
}

/// What a task says may be a secret, and is named only.
fn shown(children: &[Element]) -> Vec<&str> {
    children.iter().map(Element::name).collect()
}
