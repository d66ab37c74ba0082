//! The bytes of a stanza: kept where no two parsers read them differently, written anew where they could.

use onetrip_stream::{Content, Frame, Stanza};

use crate::{HEADER, whole};

/// Stanzas come out in the one form: no prefixes, no CDATA, no reliance on the header, and reading it again changes
/// nothing.
#[test]
fn a_stanza_is_rewritten_into_the_safe_form() {
    let body = "<message xmlns:x='urn:x' xmlns:y='urn:y' to=\"a'b\" y:k='v'><x:e>a<![CDATA[<b>]]>&#99;\r\n&#13;</x:e><body/></message>";
    let (found, error) = whole(format!("{HEADER}{body}").as_bytes());
    assert_eq!(error, None);
    let Frame::Stanza(stanza) = &found[1] else {
        panic!()
    };
    let expected = "<message to='a&apos;b' xmlns:ns0='urn:y' ns0:k='v'><e xmlns='urn:x'>a&lt;b&gt;c\n&#xD;</e><body/></message>";
    assert_eq!(std::str::from_utf8(stanza.bytes()).unwrap(), expected);
    assert_eq!(
        &Stanza::parse(stanza.bytes(), Content::Client).unwrap(),
        stanza
    );
    assert_eq!(&Stanza::from_element(&stanza.element()).unwrap(), stanza);
}

/// What no two parsers read differently is not touched; without the declaration of the content namespace it says the
/// same on a stream of either.
#[test]
fn a_stanza_in_the_safe_form_keeps_its_bytes() {
    let kept = |body: &str| {
        let (found, error) = whole(format!("{HEADER}{body}").as_bytes());
        assert_eq!(error, None, "{body}");
        let [_, Frame::Stanza(stanza)] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(
            &Stanza::from_element(&stanza.element()).unwrap(),
            stanza,
            "{body}"
        );
        let text = String::from_utf8(stanza.bytes().to_vec()).unwrap();
        assert!(
            stanza.head().to.as_deref().is_none_or(|to| to == "a&b"),
            "{body}"
        );
        text
    };
    for safe in [
        "<message />",
        "<message to=\"a&amp;b\"  type='chat' ><body>a > b \u{e4}&lt;</body><x xmlns='u'><y/></x ></message>",
        "<iq xml:lang='de' id='1'><q xmlns=''/></iq>",
    ] {
        assert_eq!(kept(safe), safe);
    }
    assert_eq!(
        kept("<message type='chat' xmlns='jabber:client'\n to='a&amp;b'><body/></message>"),
        "<message type='chat'\n to='a&amp;b'><body/></message>"
    );
    for other in [
        "<message><![CDATA[]]></message>",
        "<message>&#65;</message>",
        "<message>\r\n</message>",
        "<message a='\t'/>",
        "<message to='a&#38;b'/>",
        "<\u{e4}:message xmlns:\u{e4}='jabber:client'/>",
        "<message><stream:x/></message>",
        "<message xmlns:p='u'/>",
        "<message xmlns:p='u'><xml:a><xml:b xmlns='v'/><c/></xml:a></message>",
        "<message xmlns='jabber:client'><body xmlns='jabber:client'/></message>",
    ] {
        let written = kept(other);
        assert_ne!(written, other);
        let again = Stanza::parse(written.as_bytes(), Content::Client).unwrap();
        assert_eq!(
            again.bytes(),
            written.as_bytes(),
            "the form written is stable"
        );
    }
}
