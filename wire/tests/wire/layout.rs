//! FORMAT.md's tables say what the types are.

use kdht_wire::{Durability, EXT_FORWARD, EXT_PADDING, Fault, FilterKind, Flags, Kind, ValueKind};

use crate::support::{format_text, structs};

/// A table's rows, each its cells.
pub(crate) type Rows = Vec<Vec<String>>;

/// FORMAT.md's tables whose first columns are `columns`, in their order.
pub(crate) fn tables(columns: &[&str]) -> Vec<Rows> {
    let text = format_text();
    let mut found: Vec<Rows> = Vec::new();
    let mut within = false;
    for line in text.lines() {
        let Some(inner) = line.strip_prefix("| ").and_then(|line| line.strip_suffix('|')) else {
            // The rule below the column names does not end a table.
            within &= line.starts_with("|-");
            continue;
        };
        let cells: Vec<String> = inner.split('|').map(|cell| cell.trim().to_owned()).collect();
        if cells.iter().zip(columns).all(|(cell, column)| cell == column) {
            found.push(Vec::new());
            within = true;
        } else if within && let Some(rows) = found.last_mut() {
            rows.push(cells);
        }
    }
    found
}

/// Number and name of each row of the one table with these columns.
fn numbered(columns: &[&str]) -> Vec<(u16, String)> {
    let mut all = tables(columns);
    assert_eq!(all.len(), 1, "{columns:?}");
    let rows = all.remove(0).into_iter();
    // A row of several numbers names nothing.
    rows.filter_map(|row| Some((row[0].parse().ok()?, row[1].clone()))).collect()
}

#[test]
fn every_structure_is_laid_out_as_its_table_says() {
    let order = [
        "kdht_head",
        "kdht_endpoint",
        "kdht_contact",
        "kdht_find_value",
        "kdht_store",
        "kdht_ext",
        "kdht_record",
        "kdht_signed",
        "kdht_fault_detail",
        "kdht_forward",
    ];
    let mut tables = tables(&["offset", "size", "field"]);
    // The reply's table stands between those of contact and find_value.
    let reply = tables.remove(3);
    let structs = structs::all();
    let named = |name| structs.iter().find(|one| one.c_name == name).unwrap();
    assert_eq!(tables.len(), order.len());
    let pairs = order.into_iter().zip(tables).chain([("kdht_reply", reply)]);
    for (c_name, rows) in pairs {
        let documented: Vec<(usize, usize, String)> = rows
            .into_iter()
            // An extension's data has no fixed size and is no field.
            .filter(|row| row[1] != "len")
            .map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap(), row[2].clone()))
            .collect();
        let compiled: Vec<(usize, usize, String)> = named(c_name)
            .fields
            .iter()
            .map(|field| {
                // `type` is a word of the language.
                let name =
                    if c_name == "kdht_ext" && field.name == "kind" { "type" } else { field.name };
                (field.offset, field.size, name.to_owned())
            })
            .collect();
        assert_eq!(compiled, documented, "{c_name}");
    }
}

#[test]
fn no_structure_has_a_byte_that_is_no_field() {
    for one in structs::all() {
        let mut end = 0;
        for field in &one.fields {
            assert_eq!(field.offset, end, "{}.{}", one.c_name, field.name);
            end += field.size;
        }
        assert_eq!(one.size, end, "{}", one.c_name);
    }
}

#[test]
fn sizes_in_the_text_are_the_sizes_of_the_types() {
    let text = format_text();
    for (name, sentence) in [
        ("kdht_endpoint", "Endpoint, {} bytes:"),
        ("kdht_contact", "Contact, {} bytes:"),
        ("kdht_reply", "begins with **reply**, {} bytes:"),
        ("kdht_find_value", "**find_value**, {} bytes:"),
        ("kdht_store", "**store**, {} bytes, then"),
        ("kdht_record", "Record head, {} bytes:"),
        ("kdht_signed", "**signed**, {} bytes:"),
        ("kdht_fault_detail", "the {} bytes of the target field hold:"),
    ] {
        let all = structs::all();
        let size = all.iter().find(|one| one.c_name == name).unwrap().size;
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = sentence.replace("{}", &size.to_string());
        assert!(words(&text).contains(&expected), "{expected}");
    }
    for (length, name) in [
        (kdht_wire::DATAGRAM_LEN_MAX, "at most **1232** bytes"),
        (kdht_wire::STREAM_LEN_MAX, "up to 1,049,064 bytes"),
        (kdht_wire::VALUE_LEN_MAX, "0–1,048,576"),
        (kdht_wire::INLINE_VALUE_LEN_MAX, "Values to **1000** bytes"),
        (kdht_wire::EXTENSIONS_MAX, "at most 8 extensions"),
        (kdht_wire::UNPROVEN_FACTOR, "at most **3 ×**"),
        (kdht_wire::TIME_SKEW_S_MAX as usize, "within ±120 s"),
        (usize::from(kdht_wire::Forward::HOPS_MAX), "| hops | hops that are left | 0–8 |"),
    ] {
        assert!(text.contains(name), "{name}");
        let digits = name.replace(',', "");
        assert!(digits.contains(&length.to_string()), "{length} in {name}");
    }
}

#[test]
fn flags_are_the_documented_bits() {
    let documented = numbered(&["bit", "name", "in", "meaning"]);
    let named = documented.iter().filter(|(_, name)| !name.is_empty());
    let expected: Vec<(u16, String)> = named.map(|(b, n)| (*b, n.to_lowercase())).collect();
    let compiled: Vec<(u16, String)> = Flags::NAMED
        .into_iter()
        .map(|(flag, name)| (u16::try_from(flag.0.trailing_zeros()).unwrap(), name.to_owned()))
        .collect();
    assert_eq!(compiled, expected);
    let every = Flags::NAMED.into_iter().fold(Flags::default(), |all, (flag, _)| all.with(flag));
    assert_eq!(every.0 ^ Flags::RESERVED_ZERO.0 ^ Flags::RESERVED_IGNORED.0, u16::MAX);
    let text = format_text();
    assert!(text.contains("| 8–11 | | | must be zero"), "{:#06x}", Flags::RESERVED_ZERO.0);
    assert_eq!(Flags::RESERVED_ZERO.0, 0b1111 << 8);
}

#[test]
fn kinds_codes_and_extensions_are_numbered_as_documented() {
    let kinds: Vec<(u16, String)> =
        Kind::ALL.into_iter().map(|k| (k as u16, k.name().to_uppercase())).collect();
    assert_eq!(kinds, numbered(&["number", "kind", "request body"]));

    let codes: Vec<(u16, String)> =
        Fault::ALL.into_iter().map(|f| (f as u16, f.name().to_owned())).collect();
    assert_eq!(codes, numbered(&["code", "name", "meaning"]));

    let mut extensions = tables(&["type", "len", "meaning"]).remove(0).into_iter();
    let mut next = |number: u16, word: &str| {
        let row = extensions.next().unwrap();
        assert_eq!(row[0], number.to_string());
        assert!(row[2].starts_with(word), "{row:?}");
    };
    next(EXT_PADDING, "padding");
    next(EXT_FORWARD, "forward");

    let text = format_text();
    let kinds = ValueKind::ALL.map(|kind| format!("{} {}", kind as u8, kind.name())).join(", ");
    assert!(text.contains(&kinds), "{kinds}");
    for level in [Durability::Memory, Durability::Os, Durability::Disk] {
        let words = format!("{} `{}`", level as u8, level.name());
        assert!(text.contains(&words), "{words}");
    }
    for (kind, words) in [
        (FilterKind::Any, "0 any"),
        (FilterKind::Immutable, "1 immutable"),
        (FilterKind::Signed, "2 signed"),
        (FilterKind::Plain, "3 plain"),
    ] {
        assert!(words.starts_with(&(kind as u8).to_string()) && text.contains(words), "{words}");
    }
}

#[test]
fn numbers_without_a_name_are_no_value() {
    for raw in 0..=u8::MAX {
        assert_eq!(Kind::from_u8(raw).is_some(), (1..=5).contains(&raw), "{raw}");
        assert_eq!(Fault::from_u8(raw).is_some(), (1..=17).contains(&raw), "{raw}");
        assert_eq!(ValueKind::from_u8(raw).is_some(), (1..=3).contains(&raw), "{raw}");
        assert_eq!(FilterKind::from_u8(raw).is_some(), raw <= 3, "{raw}");
        assert_eq!(Durability::from_u8(raw).is_some(), (1..=3).contains(&raw), "{raw}");
    }
}
