//! Where frames begin and end, and what a header may look like.

use onetrip_stream::{Condition, Content, Frame, Limits, ReadErrorKind, Reader, StreamHeader};

use crate::{HEADER, read_by, whole};

/// No byte behind a frame is looked at: it may belong to TLS.
#[test]
fn the_byte_behind_a_frame_is_never_looked_at() {
    for behind in 0..=255_u8 {
        let document = [
            HEADER.as_bytes(),
            b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            &[behind],
        ]
        .concat();
        let mut reader = Reader::new(Limits::default());
        let mut rest = &document[..];
        assert!(matches!(reader.next(&mut rest), Ok(Some(Frame::Header(_)))));
        assert!(matches!(
            reader.next(&mut rest),
            Ok(Some(Frame::Element(_)))
        ));
        assert_eq!(rest, [behind]);
    }
}

/// ZH-R1: a primed reader takes a stanza as the first bytes, and its counters begin there.
#[test]
fn zh_r1_a_primed_reader_needs_no_header() {
    let mut reader =
        Reader::primed(&StreamHeader::new(Content::Server), Limits::default()).unwrap();
    let mut rest: &[u8] = b"<message from='a' to='b'/></stream:stream> ";
    assert!(
        matches!(reader.next(&mut rest), Ok(Some(Frame::Stanza(stanza))) if stanza.head().content == Content::Server)
    );
    assert_eq!(reader.consumed(), 26);
    assert_eq!(reader.next(&mut rest), Ok(Some(Frame::Footer)));
    assert_eq!(reader.next(&mut rest), Ok(None));
    let mut more: &[u8] = b"<a/>";
    assert_eq!(
        reader.next(&mut more).unwrap_err().kind,
        ReadErrorKind::AfterFooter
    );
}

fn reader_behind() -> Reader {
    let mut reader = Reader::new(Limits::default());
    reader.restart_behind(Limits::default());
    reader
}

/// RFC 6120 §4.4: behind a restart the footer of the document before is a footer, at any split, and nothing else changes.
#[test]
fn behind_another_document_its_footer_is_one() {
    let behind = |document: &str, size| {
        let pieces = document.as_bytes().chunks(size);
        read_by(reader_behind(), pieces)
    };
    for size in [1, 2, 7, 1000] {
        assert_eq!(
            behind("</stream:stream> \n", size),
            (vec![Frame::Footer], None)
        );
        for document in [
            format!("{HEADER}<a/></stream:stream>"),
            format!("<?xml version='1.0'?>{HEADER}"),
            "<".to_owned(),
            "< a>".to_owned(),
            "x".to_owned(),
            "<!DOCTYPE a>".to_owned(),
            "\u{feff}".to_owned(),
        ] {
            assert_eq!(
                behind(&document, size),
                whole(document.as_bytes()),
                "{document}"
            );
        }
        for document in ["</stream:streams>", "</a>", "</stream:stream >"] {
            let (frames, error) = behind(document, size);
            assert_eq!(frames, []);
            let condition = error.map(|error| error.kind.condition());
            assert_eq!(condition, Some(Condition::NotWellFormed), "{document}");
        }
        let error = behind("</stream:stream><a/>", size).1.unwrap();
        assert_eq!(error.kind, ReadErrorKind::AfterFooter);
    }
    let mut reader = reader_behind();
    assert_eq!(reader.next(&mut &b"</str"[..]), Ok(None));
    assert!(reader.is_mid_frame());
}

#[test]
fn header_forms_prefixed_free_and_by_another_prefix() {
    let read = |header: &str| match &whole(header.as_bytes()).0[..] {
        [Frame::Header(header)] => header.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        read("<stream xmlns='http://etherx.jabber.org/streams' version='1.0'>").content,
        None
    );
    assert_eq!(read(HEADER).content, Some(Content::Client));
    let other = read(
        "<s:stream xmlns='jabber:server' xmlns:s='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' id='' version='1.7'>",
    );
    assert!(
        other.dialback
            && other.id.is_none()
            && other.content == Some(Content::Server)
            && other.version.minor == 7
    );
    for version in ["1", "1.x", "+1.0", "-1.0", "1.0.0", "99999.0"] {
        let header = HEADER.replace('>', &format!(" version='{version}'>"));
        assert_eq!(
            whole(header.as_bytes()).1.unwrap().kind,
            ReadErrorKind::Version,
            "{version}"
        );
    }
}
