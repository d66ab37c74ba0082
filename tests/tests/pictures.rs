//! Pictures of every strategy: they are well-formed, nothing in them overlaps, and they can be drawn again.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use minidom::Element;
use onetrip_simulator::{ANSWERED, Lab, ONLINE, Settings, Strategy};
use onetrip_tests::states::{Diagram, diagrams};
use onetrip_trace::{Line, Record, ladder_svg, mermaid, phases_svg, side_by_side_svg, slope_svg};

/// Left, right, top and bottom of a text, in tenths of a pixel.
type Extent = (i64, i64, i64, i64);

/// Where the texts of a picture stand. A character of 12 pixels is 7.2 wide.
fn texts(picture: &Element) -> Vec<(String, Extent)> {
    let number = |element: &Element, name| element.attr(name).unwrap().parse::<i64>().unwrap() * 10;
    let extent = |element: &Element| {
        let text = element.text();
        let width = i64::try_from(text.chars().count()).unwrap() * 72;
        let x = number(element, "x");
        let left = match element.attr("text-anchor") {
            Some("middle") => x - width / 2,
            Some("end") => x - width,
            _ => x,
        };
        let y = number(element, "y");
        (text, (left, left + width, y - 90, y + 30))
    };
    picture
        .children()
        .filter(|child| child.name() == "text")
        .map(extent)
        .collect()
}

/// Parses a picture and looks at all that is written in it.
fn check(drawn: &str) {
    let picture: Element = drawn.parse().unwrap();
    let names: Vec<&str> = picture.children().map(Element::name).collect();
    assert_eq!(names[..2], ["title", "desc"], "for screen readers");
    assert!(drawn.contains("prefers-color-scheme:dark"));
    let (width, height) = (
        8400,
        picture.attr("height").unwrap().parse::<i64>().unwrap() * 10,
    );
    let texts = texts(&picture);
    assert!(texts.len() > 4);
    for (index, (text, one)) in texts.iter().enumerate() {
        assert!(
            one.0 >= 0 && one.1 <= width && one.2 >= 0 && one.3 <= height,
            "'{text}' leaves {one:?}"
        );
        for (other_text, other) in &texts[index + 1..] {
            let apart =
                one.1 <= other.0 || other.1 <= one.0 || one.3 <= other.2 || other.3 <= one.2;
            assert!(
                apart,
                "'{text}' {one:?} and '{other_text}' {other:?} overlap in\n{drawn}"
            );
        }
    }
}

fn records() -> Vec<(Strategy, Record)> {
    let lab = Lab::new().unwrap();
    let run = |strategy: Strategy| {
        let run = lab.run(&strategy, &Settings::default()).unwrap();
        (strategy, run.record)
    };
    Strategy::all().into_iter().map(run).collect()
}

#[test]
fn nothing_overlaps_in_the_picture_of_any_strategy() {
    let records = records();
    for (strategy, record) in &records {
        check(&ladder_svg(record));
        check(&phases_svg(record, ONLINE));
        let classic = |(other, _): &&(Strategy, Record)| *other == strategy.classic();
        let (_, classic) = records.iter().find(classic).unwrap();
        check(&side_by_side_svg("A title", classic, record, ANSWERED));
    }
}

/// `cargo run -p onetrip-tests --example states` makes the page anew.
#[test]
fn the_states_on_the_page_are_those_that_the_machines_take() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/states.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert_eq!(page, onetrip_tests::states::page());
}

/// The cells of the tables of states in the documentation of a module: the first of each row, and the last.
fn rows(module: &str) -> Vec<(String, String)> {
    let path = format!("{}/../crates/{module}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let row = line
            .strip_prefix("//! |")
            .and_then(|row| row.strip_suffix('|'));
        let cells: Vec<&str> = row.into_iter().flat_map(|row| row.split('|')).collect();
        let [first, .., last] = cells[..] else {
            inside = false;
            continue;
        };
        if inside && !first.starts_with('-') {
            rows.push((first.trim().to_owned(), last.trim().to_owned()));
        }
        inside |= first.trim().starts_with("state");
    }
    rows
}

/// Every state that a machine takes stands in the table of its module, and every state there is taken.
#[test]
fn the_tables_of_the_modules_name_the_states_that_the_machines_take() {
    let mut taken: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for diagram in diagrams()
        .iter()
        .filter(|diagram| !diagram.table.is_empty())
    {
        let states = diagram.states().into_iter().map(Diagram::in_words);
        taken
            .entry(diagram.table.clone())
            .or_default()
            .extend(states);
    }
    let mut wrong = Vec::new();
    for (module, taken) in &taken {
        let rows = rows(module);
        let begins = rows.iter().flat_map(|(from, _)| from.split(", "));
        let begins = begins.map(|state| state.split(" (").next().unwrap_or_default());
        for state in begins.filter(|state| !state.starts_with("any")) {
            if !taken.contains(state) {
                wrong.push(format!("{module}: no machine is ever `{state}`"));
            }
        }
        for state in taken {
            let named = rows.iter().any(|(from, to)| {
                let cells = format!(" {from} {to} ").replace([',', ';', ':'], " ");
                cells.contains(&format!(" {state} "))
            });
            if !named {
                wrong.push(format!("{module}: `{state}` does not stand in the table"));
            }
        }
    }
    assert!(taken.len() > 15 && wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn labels_of_slopes_are_pushed_apart() {
    let line = |label: &str, slope: u32| Line {
        label: label.to_owned(),
        points: (0..=4).map(|x| (x * 100, x * slope)).collect(),
    };
    let alike: Vec<Line> = (0..8)
        .map(|number| line(&format!("strategy {number}"), 400))
        .collect();
    check(&slope_svg("Slopes", "ms", &alike));
    let many: Vec<Line> = (0..100)
        .map(|number| line(&format!("strategy {number}"), 100 + number))
        .collect();
    check(&slope_svg("Slopes", "ms", &many));
    let apart = [
        line("one", 900),
        line("another", 890),
        line("a third", 300),
        line("none", 0),
    ];
    check(&slope_svg("Slopes", "ms", &apart));
}

#[test]
fn a_record_is_drawn_again_from_its_json() {
    for (_, record) in records() {
        let again = Record::from_json(&record.to_json()).unwrap();
        assert_eq!(ladder_svg(&again), ladder_svg(&record));
        assert_eq!(mermaid(&again), mermaid(&record));
        assert_eq!(again, record);
    }
}

#[test]
fn a_record_that_cannot_be_read_says_where() {
    let text = |text: &str| Record::from_json(text).unwrap_err().to_string();
    assert!(text("{").starts_with("expected JSON: "));
    assert_eq!(text("{}"), "version: expected a whole number");
    assert_eq!(
        text(r#"{"version": 2}"#),
        "expected a record of version 1, got version 2"
    );
    let write = r#"{"version":1,"title":"t","marks":[],"writes":[{"from":"nobody"}]}"#;
    assert_eq!(
        text(write),
        "writes[0].from: expected \"initiator\" or \"receiver\""
    );
}
