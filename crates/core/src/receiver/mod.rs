//! The receiving entity's negotiation, strictly in the order the bytes come (QS-25).

mod client;

pub(crate) use client::Receiver;
