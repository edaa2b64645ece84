//! Each source of settings, and what is said of what does not fit.

use super::*;

fn from_toml(text: &str) -> Result<Settings, SettingsError> {
    let mut settings = Settings::default();
    let table: toml::Table = text.parse().unwrap();
    settings.apply_table(&table, "", &Source::File("test.toml".into()))?;
    Ok(settings)
}

#[test]
fn each_default_lies_within_its_range_and_each_bound_can_be_set() {
    for key in KEYS {
        let mut settings = Settings::default();
        let default = key.value(&settings.node);
        assert!((key.min..=key.max).contains(&default), "{}", key.name);
        for bound in [key.min, key.max] {
            settings.set(key.name, &bound.to_string(), &Source::Flag).unwrap();
            assert_eq!(key.value(&settings.node), bound, "{}", key.name);
        }
        let above = (key.max + 1).to_string();
        let error = settings.set(key.name, &above, &Source::Flag).unwrap_err();
        assert!(error.to_string().contains(key.name));
    }
}

#[test]
fn later_sources_win_over_earlier_ones() {
    let mut settings = from_toml("listen = ['127.0.0.1:5000']\n[node]\nk = 8").unwrap();
    assert_eq!(settings.node.k, 8);
    let variables = [("KDHT_NODE_K", "9"), ("KDHT_LISTEN", "127.0.0.1:1,[::1]:1")];
    let variables = variables.map(|(k, v)| (k.to_owned(), v.to_owned()));
    settings.apply_environment(variables.into_iter()).unwrap();
    assert_eq!(settings.node.k, 9);
    assert_eq!(settings.families(), Families { v4: true, v6: true });
    settings.set("node.k", "10", &Source::Flag).unwrap();
    assert_eq!(settings.node.k, 10);
}

#[test]
fn a_longest_value_that_does_not_fit_is_named_with_what_is_too_small() {
    for (text, key) in [
        ("key_bytes_max = 1048575", "store.key_bytes_max"),
        ("source_bytes_max = 1048576", "store.source_bytes_max"),
        ("bytes_max = 1000000", "store.bytes_max"),
    ] {
        let settings = from_toml(&format!("[store]\n{text}")).unwrap();
        let error = settings.node_config().unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("store.value_len_max"), "{error}");
        let lower = format!("[store]\n{text}\nvalue_len_max = 1000");
        assert!(from_toml(&lower).unwrap().node_config().is_ok(), "{text}");
    }
    for text in ["key_bytes_max = 1048576", "bytes_max = 0"] {
        assert!(from_toml(&format!("[store]\n{text}")).unwrap().node_config().is_ok());
    }
}

#[test]
fn an_own_address_needs_a_socket_of_its_family() {
    let settings = from_toml("advertise = ['192.0.2.1:4000']").unwrap();
    let own = Some(Endpoint::from(settings.advertise[0]));
    assert_eq!(settings.node_config().unwrap().advertise, [own, None]);
    let settings = from_toml("advertise = ['[2001:db8::1]:4000']").unwrap();
    let error = settings.node_config().unwrap_err().to_string();
    assert!(error.contains("[2001:db8::1]:4000") && error.contains("listen"), "{error}");
}

#[test]
fn unknown_and_unfit_settings_are_named() {
    for (text, parts) in [
        ("colour = 1", ["colour", "test.toml"]),
        ("[node]\nbeta = 1", ["node.beta", "test.toml"]),
        ("[node]\nk = 21", ["node.k", "1 to 20"]),
        ("[node]\nk = -1", ["node.k", "1 to 20"]),
        ("[node]\nk = [1]", ["node.k", "a list"]),
        ("[node]\naccept_plain = [true]", ["node.accept_plain", "a list"]),
        ("[node]\naccept_plain = 7", ["node.accept_plain", "true or false"]),
        ("listen = ['nowhere']", ["listen", "nowhere"]),
        ("listen = ['127.0.0.1:1', '127.0.0.2:1']", ["listen", "one of each"]),
        ("listen = []", ["listen", "one or two"]),
        ("advertise = ['192.0.2.1']", ["advertise", "IP:PORT"]),
        ("advertise = ['0.0.0.0:4000']", ["advertise", "can send to"]),
        ("advertise = ['192.0.2.1:0']", ["advertise", "192.0.2.1:0"]),
        ("advertise = ['192.0.2.1:1', '192.0.2.2:1']", ["advertise", "one of each"]),
        ("datapath = 'rdma'", ["datapath", "uring"]),
        ("poll = 'often'", ["poll", "adaptive"]),
        ("json_debug = 1", ["json_debug", "true or false"]),
        ("record_max = 4095", ["record_max", "4096 bytes"]),
        ("log = 'loud'", ["log", "trace"]),
        ("log = ''", ["log", "trace"]),
        ("drain_s = 3601", ["drain_s", "0 to 3600 s"]),
        ("zones = ['10.1.0.0/16']", ["zones", "CIDR=NAME"]),
        ("zones = ['10.1.0.0/33=a']", ["zones", "0 to 32 bits"]),
        ("zones = ['10.1.0.1/16=a']", ["10.1.0.1/16=a", "first address"]),
        ("zones = ['::/0=a', '::/0=b']", ["::/0=b", "one zone"]),
        ("[node]\nzone_replicas_max = 0", ["node.zone_replicas_max", "1 to 20"]),
    ] {
        let error = from_toml(text).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
    }
    let variables = [("KDHT_COLOUR".to_owned(), "1".to_owned())];
    let error = Settings::default().apply_environment(variables.into_iter()).unwrap_err();
    assert!(error.to_string().contains("KDHT_COLOUR"));
}

#[test]
fn zones_are_ranges_with_names_and_reach_the_core() {
    let text = "zones = ['10.0.0.0/8=a', '10.2.0.0/16 = b', '2001:db8::/32=a', '0.0.0.0/0=c']
                [node]
                zone_replicas_max = 3";
    let zones = from_toml(text).unwrap().node_config().unwrap().zones;
    let of = |ip: &str| zones.of(&SocketAddr::new(ip.parse().unwrap(), 1).into());
    let all = ["10.1.0.1", "10.2.0.1", "2001:db8:7::1", "10.255.0.1", "2001:db9::1", "11.0.0.1"];
    assert_eq!(all.map(of), [Some(0), Some(1), Some(0), Some(0), None, Some(2)]);
    assert_eq!((zones.replicas_max, zones.ranges().len()), (3, 4));
    let mut settings = Settings::default();
    settings.set("zones", "10.0.0.0/8=a,11.0.0.0/8=b", &Source::Flag).unwrap();
    let shown = settings.shown().unwrap();
    let shown = shown.iter().find(|shown| shown.key == "zones").unwrap();
    assert_eq!(shown.value, "10.0.0.0/8=a,11.0.0.0/8=b");
}
