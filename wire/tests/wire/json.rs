//! The JSON form: what it looks like, and that whatever is wrong is named.

use std::collections::BTreeSet;

use kdht_wire::NetworkKey;
use kdht_wire::json::{JsonError, from_json, from_json_keyed, to_json, to_json_pretty};
use serde_json::{Value, json};

use crate::layout::{Rows, tables};
use crate::support::vectors::{self, Vector};
use crate::support::{Random, unhex};

fn vector(file: &str, name: &str) -> Vector {
    vectors::read(file).into_iter().find(|vector| vector.name == name).unwrap()
}

fn object(file: &str, name: &str) -> Value {
    serde_json::from_str(&vector(file, name).json.unwrap()).unwrap()
}

/// The member that is found wrong.
fn member_of(error: &JsonError) -> &str {
    match error {
        JsonError::Duplicate { member }
        | JsonError::Unknown { member }
        | JsonError::Member { member, .. } => member,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_looks_as_the_text_describes() {
    // Written by hand from FORMAT.md sections 3, 4, 5 and 11.
    let head = unhex(concat!(
        "4b4401028100ab013c00000001000000ff00000000000003efcdab8967452301",
        "0102030405060708090a0b0c0d0e0f1011121314000000000000000000000000",
        "00000000000000ff",
    ));
    let body = unhex(concat!(
        "00000000000000000000ffffc00002010fa00200",
        "1111111111111111111111111111111111111111",
        "20010db80000000000000000000000010fa00080",
    ));
    let mac = unhex("0102030405060708");
    let whole = [head, body, mac].concat();
    let expected = json!({
        "version": 1,
        "kind": "find_node",
        "flags": ["reply", "keyed"],
        "key_id": 171,
        "time_s": 1,
        "tx_id": "03000000000000ff",
        "cookie": "0123456789abcdef",
        "target": "0102030405060708090a0b0c0d0e0f1011121314",
        "sender": "00000000000000000000000000000000000000ff",
        "observed": "192.0.2.1:4000",
        "total": 2,
        "contacts": [{
            "id": "1111111111111111111111111111111111111111",
            "endpoint": "[2001:db8::1]:4000",
            "flags": 0x8000,
        }],
        "mac": "0102030405060708",
    });
    let found: Value = serde_json::from_str(&to_json(&whole).unwrap()).unwrap();
    assert_eq!(found, expected);
    assert_eq!(from_json(&expected.to_string()), Ok(whole));
}

#[test]
fn the_members_in_the_vectors_are_those_in_the_text() {
    let documented = tables(&["member", "in", "meaning"]);
    let named = |rows: &Rows| -> BTreeSet<String> {
        rows.iter().flat_map(|row| row[0].split(", ").map(str::to_owned)).collect()
    };
    let (mut outer, mut inner) = (BTreeSet::new(), BTreeSet::new());
    for vector in vectors::read_all() {
        let Some(json) = vector.json else { continue };
        let object: Value = serde_json::from_str(&json).unwrap();
        outer.extend(object.as_object().unwrap().keys().cloned());
        for record in object["records"].as_array().into_iter().flatten() {
            inner.extend(record.as_object().unwrap().keys().cloned());
        }
    }
    assert_eq!(documented.len(), 2);
    assert_eq!(outer, named(&documented[0]));
    assert_eq!(inner, named(&documented[1]));
}

#[test]
fn the_kind_stands_first_to_the_eye_and_pretty_is_the_same() {
    for vector in vectors::read_all().into_iter().filter(|vector| vector.verdict == "ok") {
        let line = to_json(&vector.bytes).unwrap();
        assert!(line.starts_with(r#"{"version":1,"kind":""#), "{line}");
        let pretty = to_json_pretty(&vector.bytes).unwrap();
        assert!(pretty.lines().count() > 3);
        let parsed: Value = serde_json::from_str(&pretty).unwrap();
        assert_eq!(parsed, serde_json::from_str::<Value>(&line).unwrap());
    }
}

#[test]
fn members_that_are_zero_may_be_left_out_or_said() {
    let short = from_json(r#"{"kind":"ping"}"#).unwrap();
    let said = json!({
        "version": 1, "kind": "ping", "flags": [], "flags_ignored": 0, "key_id": 0, "arg": 0,
        "time_s": 0, "tx_id": "0000000000000000", "cookie": "0000000000000000",
        "target": "0".repeat(40), "sender": "0".repeat(40), "extensions": [],
    });
    assert_eq!(from_json(&said.to_string()).unwrap(), short);
    assert_eq!(short.len(), 72);
    assert_eq!(&short[..4], b"KD\x01\x01");
    assert!(short[4..].iter().all(|byte| *byte == 0));
}

#[test]
fn digits_may_be_of_either_case() {
    let lower = from_json(r#"{"kind":"ping","tx_id":"00000000deadbeef"}"#);
    assert_eq!(from_json(r#"{"kind":"ping","tx_id":"00000000DEADBEEF"}"#), lower);
    assert!(lower.is_ok());
}

#[test]
fn a_member_that_is_wrong_is_named() {
    for (file, name, pointer, value, member) in [
        ("ping", "ping_request", "/version", json!(2), "version"),
        ("ping", "ping_request", "/version", json!("1"), "version"),
        ("ping", "ping_request", "/kind", json!("pong"), "kind"),
        ("ping", "ping_request", "/kind", json!(null), "kind"),
        ("ping", "ping_request", "/flags", json!("reply"), "flags"),
        ("ping", "ping_request", "/flags", json!(["reply", "loud"]), "flags[1]"),
        ("ping", "ping_request", "/flags", json!([1]), "flags[0]"),
        ("ping", "ping_request", "/flags_ignored", json!(256), "flags_ignored"),
        ("ping", "ping_request", "/key_id", json!(256), "key_id"),
        ("ping", "ping_request", "/arg", json!(-1), "arg"),
        ("ping", "ping_request", "/time_s", json!(1_u64 << 32), "time_s"),
        ("ping", "ping_request", "/time_s", json!(1.5), "time_s"),
        ("ping", "ping_request", "/tx_id", json!("1"), "tx_id"),
        ("ping", "ping_request", "/tx_id", json!(1), "tx_id"),
        ("ping", "ping_request", "/cookie", json!("+123456789abcdef"), "cookie"),
        ("ping", "ping_request", "/target", json!("zz"), "target"),
        ("ping", "ping_request", "/sender", json!("é".repeat(20)), "sender"),
        ("ping", "ping_request", "/extensions", json!({}), "extensions"),
        ("ping", "ping_request", "/extensions", json!([1]), "extensions[0]"),
        ("ping", "ping_request", "/extensions", json!([{"type": 65536}]), "extensions[0].type"),
        ("ping", "ping_request", "/extensions", json!([{"data": "0"}]), "extensions[0].data"),
        ("ping", "ping_request", "/extensions", json!([{"data": "01"}]), "extensions[0].data"),
        ("ping", "ping_request", "/extensions", json!([{"type": 1}]), "extensions[0].data"),
        ("ping", "ping_request", "/extensions", json!(vec![json!({"type": 2}); 9]), "extensions"),
        ("ping", "ping_request_keyed", "/mac", json!("12"), "mac"),
        ("ping", "ping_reply_v4", "/observed", json!("192.0.2.1"), "observed"),
        ("ping", "ping_reply_v4", "/observed", json!("[fe80::1%2]:1"), "observed"),
        ("ping", "ping_reply_v4", "/total", json!(65536), "total"),
        ("find_node", "find_node_reply_v4", "/arg", json!(2), "arg"),
        ("find_node", "find_node_reply_v4", "/contacts", json!(3), "contacts"),
        ("find_node", "find_node_reply_v4", "/contacts", json!(vec![json!({}); 256]), "contacts"),
        ("find_node", "find_node_reply_v4", "/contacts/1/id", json!("00"), "contacts[1].id"),
        ("find_node", "find_node_reply_v4", "/contacts/1/flags", json!(1), "contacts[1].flags"),
        (
            "find_node",
            "find_node_reply_v4",
            "/contacts/2/endpoint",
            json!("x"),
            "contacts[2].endpoint",
        ),
        ("find_value", "find_value_request", "/filter", json!("some"), "filter"),
        ("find_value", "find_value_request", "/publisher", json!("0".repeat(40)), "publisher"),
        ("find_value", "find_value_request", "/cursor", json!(true), "cursor"),
        ("find_value", "find_value_reply_signed", "/records/0/kind", json!("x"), "records[0].kind"),
        ("find_value", "find_value_reply_signed", "/records/0/flags", json!(2), "records[0].flags"),
        (
            "find_value",
            "find_value_reply_signed",
            "/records/0/value",
            json!("abc"),
            "records[0].value",
        ),
        (
            "find_value",
            "find_value_reply_signed",
            "/records/0/value_len",
            json!(1),
            "records[0].value_len",
        ),
        ("find_value", "find_value_reply_signed", "/records/0/salt", json!(""), "records[0].salt"),
        (
            "find_value",
            "find_value_reply_announced",
            "/records/0/value_len",
            json!(1_048_577),
            "records[0].value_len",
        ),
        ("store", "store_request_signed", "/cas", json!(1), "cas"),
        ("store", "store_request_signed", "/records", json!([]), "records"),
        (
            "store",
            "store_request_signed",
            "/records/0/signature",
            json!("00"),
            "records[0].signature",
        ),
        ("store", "store_reply_disk", "/arg", json!(4), "arg"),
        ("fault", "fault_busy", "/fault", json!("busy"), "fault"),
        ("fault", "fault_busy", "/fault/code", json!("angry"), "fault.code"),
        ("fault", "fault_busy", "/fault/kinds", json!(65536), "fault.kinds"),
        ("fault", "fault_busy", "/fault/sequence", json!(0), "fault.sequence"),
        ("fault", "fault_busy", "/flags", json!([]), "flags"),
        ("fault", "fault_busy", "/arg", json!(4), "arg"),
    ] {
        let mut object = object(file, name);
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[last] = value.clone();
        let error = from_json(&object.to_string()).expect_err(pointer);
        assert!(matches!(error, JsonError::Member { .. }), "{pointer} {value}: {error:?}");
        assert_eq!(member_of(&error), member, "{pointer} {value}: {error}");
        assert!(error.to_string().starts_with(&format!("`{member}`: must be ")), "{error}");
    }
}

#[test]
fn a_member_that_there_is_not_is_named() {
    for (file, name, pointer, member) in [
        ("ping", "ping_request", "/colour", "colour"),
        ("ping", "ping_request", "/mac", "mac"),
        ("ping", "ping_request", "/observed", "observed"),
        ("ping", "ping_reply_v4", "/contacts", "contacts"),
        ("find_node", "find_node_request", "/cursor", "cursor"),
        ("find_node", "find_node_reply_v4", "/records", "records"),
        ("find_node", "find_node_reply_v4", "/contacts/0/port", "contacts[0].port"),
        ("find_value", "find_value_reply_signed", "/contacts", "contacts"),
        ("find_value", "find_value_reply_contacts", "/records", "records"),
        ("find_value", "find_value_reply_signed", "/records/0/publisher", "records[0].publisher"),
        ("find_value", "find_value_reply_immutable", "/records/0/salt", "records[0].salt"),
        ("find_value", "find_value_reply_announced", "/records/0/value", "records[0].value"),
        ("store", "store_request_signed", "/total", "total"),
        ("fault", "fault_busy", "/target", "target"),
        ("fault", "fault_busy", "/fault/why", "fault.why"),
    ] {
        let mut object = object(file, name);
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[last] = json!("00");
        let error = from_json(&object.to_string()).expect_err(pointer);
        assert_eq!(error, JsonError::Unknown { member: member.to_owned() }, "{pointer}");
    }
}

#[test]
fn a_member_that_stands_twice_is_named() {
    let twice = from_json(r#"{"kind":"ping","kind":"ping"}"#).unwrap_err();
    assert_eq!(twice, JsonError::Duplicate { member: "kind".to_owned() });
    let text = r#"{"kind":"fault","flags":["reply"],"fault":{"code":"busy","code":"busy"}}"#;
    let twice = from_json(text).unwrap_err();
    assert_eq!(twice, JsonError::Duplicate { member: "fault.code".to_owned() });
}

#[test]
fn a_store_is_never_announced() {
    let mut object = object("store", "store_request_immutable");
    object["records"][0] = json!({"kind": "immutable", "flags": 1, "value_len": 5});
    let error = from_json(&object.to_string()).unwrap_err();
    assert_eq!(member_of(&error), "records[0].flags");
}

#[test]
fn what_is_no_object_and_no_json_is_told() {
    assert_eq!(from_json("{\n\"kind\""), Err(JsonError::Syntax { line: 2, column: 6 }));
    assert!(matches!(from_json(""), Err(JsonError::Syntax { .. })));
    assert!(matches!(from_json("{} {}"), Err(JsonError::Syntax { .. })));
    let deep = "[".repeat(100_000);
    assert!(matches!(from_json(&deep), Err(JsonError::Syntax { .. })));
    let error = from_json("[]").unwrap_err();
    assert_eq!(error, JsonError::Member { member: String::new(), expected: "an object" });
    assert_eq!(error.to_string(), "must be an object");
    assert_eq!(member_of(&from_json("{}").unwrap_err()), "kind");
}

#[test]
fn no_message_is_longer_than_any_may_be() {
    let kind = r#""kind":"find_value","flags":["reply"],"total":9"#;
    let value = "00".repeat(1 << 20);
    let record = format!(r#"{{"kind":"immutable","value":"{value}"}}"#);
    assert!(from_json(&format!(r#"{{{kind},"records":[{record}]}}"#)).is_ok());
    let long = from_json(&format!(r#"{{{kind},"records":[{record},{record}]}}"#));
    let len = 72 + 20 + 2 * (12 + (1 << 20));
    assert_eq!(long, Err(JsonError::TooLong { len }));
    let record = format!(r#"{{"kind":"immutable","value":"{value}00"}}"#);
    let long = from_json(&format!(r#"{{{kind},"records":[{record}]}}"#)).unwrap_err();
    assert_eq!(member_of(&long), "records[0].value");
    let ext = format!(r#"{{"kind":"ping","extensions":[{{"data":"{}"}}]}}"#, "00".repeat(65536));
    assert_eq!(member_of(&from_json(&ext).unwrap_err()), "extensions[0].data");
}

#[test]
fn a_key_signs_only_what_is_to_be_keyed_and_has_no_mac() {
    let key = NetworkKey { id: 9, secret: [1; 16] };
    let keyed = r#"{"kind":"ping","flags":["keyed"]}"#;
    let bytes = from_json_keyed(keyed, Some(&key)).unwrap();
    assert_eq!((bytes.len(), bytes[6]), (80, 9));
    assert_eq!(bytes[72..], key.mac(&bytes[..72]));
    assert_eq!(from_json(keyed), Err(JsonError::MacMissing));

    let named = r#"{"kind":"ping","flags":["keyed"],"key_id":9}"#;
    assert_eq!(from_json_keyed(named, Some(&key)).unwrap(), bytes);
    let other = r#"{"kind":"ping","flags":["keyed"],"key_id":8}"#;
    assert_eq!(member_of(&from_json_keyed(other, Some(&key)).unwrap_err()), "key_id");

    let given = r#"{"kind":"ping","flags":["keyed"],"key_id":8,"mac":"0102030405060708"}"#;
    let verbatim = from_json_keyed(given, Some(&key)).unwrap();
    assert_eq!((verbatim[6], &verbatim[72..]), (8, &[1, 2, 3, 4, 5, 6, 7, 8][..]));
    assert_eq!(from_json(given).unwrap(), verbatim);

    let open = r#"{"kind":"ping"}"#;
    assert_eq!(from_json_keyed(open, Some(&key)), from_json(open));
}

#[test]
fn damaged_text_never_panics_and_what_it_says_parses() {
    let texts: Vec<String> = vectors::read_all().into_iter().filter_map(|v| v.json).collect();
    let mut random = Random(7);
    let (mut sound, mut refused) = (0, 0);
    for round in 0..20_000 {
        let mut text = texts[round % texts.len()].clone().into_bytes();
        for _ in 0..=random.next() % 3 {
            let at = usize::try_from(random.next()).unwrap() % text.len();
            let with =
                b"0123456789abcdef\"[]{},:-. tlfr"[usize::try_from(random.next() % 30).unwrap()];
            match random.next() % 3 {
                0 => text[at] = with,
                1 => text.insert(at, with),
                _ => drop(text.remove(at)),
            }
        }
        match from_json(std::str::from_utf8(&text).unwrap()) {
            Ok(bytes) => {
                let again = from_json(&to_json(&bytes).unwrap());
                assert_eq!(again.as_ref(), Ok(&bytes), "round {round}");
                sound += 1;
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(sound > 100 && refused > 100, "{sound} {refused}");
}
