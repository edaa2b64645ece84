use kdht_kmod_test::Random;
use kdht_wire::Endpoint;
use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::U16;

use crate::compare;

fn line(endpoint: &Endpoint) -> String {
    format!(
        "v4 {} loopback {} private {} reachable {}",
        u8::from(endpoint.is_v4()),
        u8::from(endpoint.is_loopback()),
        u8::from(endpoint.is_private()),
        u8::from(endpoint.is_reachable()),
    )
}

#[test]
fn addresses_say_of_themselves_what_they_say_in_rust() {
    let mut random = Random::from_seed(16);
    let mut endpoints = Vec::new();
    // Every first and second byte of both families, as that is where ranges begin and end.
    for (first, second) in (0..=255_u8).flat_map(|a| (0..=255_u8).map(move |b| (a, b))) {
        let port = U16::new(u16::from(random.below(20) > 0) * 4_000);
        let (c, d) = *random.pick(&[(0, 0), (0, 1), (255, 255), (3, 4)]).unwrap();
        let mut ip = [0; 16];
        ip[10..12].fill(0xff);
        ip[12..].copy_from_slice(&[first, second, c, d]);
        endpoints.push(Endpoint { ip, port });
        let mut ip = [0; 16];
        (ip[0], ip[1], ip[14], ip[15]) = (first, second, c, d);
        endpoints.push(Endpoint { ip, port });
    }
    // Near v4-mapped, loopback and unspecified: one bit away.
    for base in ["::ffff:127.0.0.1", "::ffff:255.255.255.255", "::ffff:0.0.0.0", "::1", "::"] {
        let base = base.parse::<std::net::Ipv6Addr>().unwrap().octets();
        for bit in 0..129 {
            let mut ip = base;
            ip.iter_mut().skip(bit / 8).take(1).for_each(|byte| *byte ^= 0x80 >> (bit % 8));
            endpoints.push(Endpoint { ip, port: U16::new(1) });
        }
    }
    let records: Vec<&[u8]> = endpoints.iter().map(IntoBytes::as_bytes).collect();
    let expected: Vec<String> = endpoints.iter().map(line).collect();
    compare("endpoint", &records, &expected);
}
