//! The keys that want multicast DNS, in a build that has it and in one that has not.

use super::mistakes::{CLIENT, Mistakes, SERVER, UPSTREAM, answer, check};

#[cfg(feature = "mdns")]
const MDNS_MISTAKES: &Mistakes = &[
    (
        "[[upstream]]\ndiscover = true",
        "/n:4: public-key: missing in [[upstream]]; give the server's public key; `netrng pubkey` on the server prints it",
    ),
    (
        "[[upstream]]\ndiscover = true\naddress = 'a.example'\npublic-key = '{2}'",
        "/n:5: discover: stands beside address; give only one of the two, and another [[upstream]] for the other",
    ),
    (
        "[[upstream]]\ndiscover = true\nssh = 'a.example'",
        "/n:6: ssh: stands beside discover; give only one of the two, and another [[upstream]] for the other",
    ),
    (
        "[[upstream]]\ndiscover = true\npublic-key = '{2}'\nraw = 'x'",
        "/n:7: raw: is only for upstreams with ssh; remove it",
    ),
    (
        "[[upstream]]\naddress = 'a'\npublic-key = '{2}'\nname = 'a'\n\
         [[upstream]]\ndiscover = true\npublic-key = '{2}'",
        "/n:10: public-key: upstream a is the same server; remove one of them",
    ),
];
#[cfg(not(feature = "mdns"))]
const MDNS_MISTAKES: &Mistakes = &[(
    "[[upstream]]\ndiscover = true\npublic-key = '{2}'",
    "/n:5: discover: this netrng was built without mDNS; build it with `cargo build --release --features mdns`, or give the server's `address` instead",
)];

#[test]
fn mistakes_of_who_looks_around_are_told() {
    check(answer, CLIENT, MDNS_MISTAKES);
}

#[test]
fn who_announces_needs_mdns() {
    let wanted = answer(&format!("{SERVER}announce = true"));
    if cfg!(feature = "mdns") {
        assert_eq!(wanted, Ok(()));
        let alone = answer(&format!("{SERVER}announce = true\nlisten = ['127.0.0.1:1']"));
        assert_eq!(
            alone.unwrap_err(),
            "/n:5: announce: 127.0.0.1:1 is this machine alone; put an address that others reach first in `listen`"
        );
    } else {
        assert_eq!(
            wanted.unwrap_err(),
            "/n:5: announce: this netrng was built without mDNS; build it with `cargo build --release --features mdns`, or remove it and tell clients the address"
        );
    }
    assert_eq!(answer(&format!("{SERVER}announce = false")), Ok(()));
    assert_eq!(answer(&format!("{UPSTREAM}discover = false")), Ok(()));
}

#[cfg(feature = "mdns")]
mod round_trip {
    use crate::client::Location;
    use crate::config::tests::round_trip::{address, client, server, unmask};
    use crate::config::tests::{KEY_1, KEY_3, with_keys};
    use crate::keys::PublicKey;

    #[test]
    fn what_is_announced_and_looked_for_reads_back() {
        let text = with_keys("mode = 'server'\n[server]\nprivate-key = '{1}'\nannounce = true\n");
        let given = server(&text);
        assert!(given.announce && server(&unmask(&given.to_string(), &[KEY_1])).announce);

        let text = with_keys(
            "mode = 'client'\n[client]\nprivate-key = '{1}'\n\
         [[upstream]]\ndiscover = true\npublic-key = '{2}'\npsk = '{3}'\n\
         [[upstream]]\nname = 'attic'\ndiscover = true\n",
        );
        let given = client(&format!("{text}public-key = '{}'\n", PublicKey([4; 32])));
        let again = client(&unmask(&given.to_string(), &[KEY_1, KEY_3]));
        assert_eq!(format!("{again:?}"), format!("{given:?}"));
        let [first, attic] = &given.upstreams[..] else { panic!("two upstreams") };
        assert_eq!(address(first).location, Location::Discovered);
        let name = first.name.strip_prefix("mdns-").expect("named after its key");
        assert!(name.len() == 8 && address(first).server_key.fingerprint().starts_with(name));
        assert_eq!(attic.name, "attic");
    }
}
