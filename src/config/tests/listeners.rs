//! Listeners beside each other, and what only some of them can have.

use super::with_keys;
use crate::config::Config;
use std::path::Path;

/// Three lines; what follows starts in line 4.
const START: &str =
    "mode = 'server'\nserver.private-key = '{1}'\nserver.listen = ['127.0.0.1:1000']\n";

#[track_caller]
fn check(lines: &str, mistake: Option<&str>) {
    let found = Config::parse(&with_keys(&format!("{START}{lines}")), Path::new("/n"));
    assert_eq!(found.err().map(|error| error.to_string()).as_deref(), mistake, "{lines}");
}

#[test]
fn two_in_one_place_are_told_before_the_system_does() {
    let listen = |place: &str| format!("[[listen]]\nprotocol = 'egd'\n{place}\n");
    let taken = "another listener of this file is there; give it another place";
    let (in_6, in_9) = (format!("/n:6: address: {taken}"), format!("/n:9: address: {taken}"));
    let (path_6, path_9) = (format!("/n:6: path: {taken}"), format!("/n:9: path: {taken}"));
    let (one, any) =
        ("address = '127.0.0.1:2000'", "allow-plaintext = true\naddress = '0.0.0.0:2000'");
    check(&(listen(one) + &listen(one)), Some(&in_9));
    check(&(listen(one) + &listen(any)), Some(&in_9.replace(":9:", ":10:")));
    check(&listen("address = '127.0.0.1:1000'"), Some(&in_6));
    check(&(listen("path = '/run/a'") + &listen("path = '/run/a'")), Some(&path_9));
    check(&listen(&format!("path = '{}'", crate::config::DEFAULT_TAP_SOCKET)), Some(&path_6));
    check(&listen(&format!("path = '{}'", crate::config::DEFAULT_SERVER_STATUS)), Some(&path_6));
    // The same port of the other family or address, any port, another path.
    check(&(listen(one) + &listen("address = '[::1]:2000'")), None);
    check(&(listen(one) + &listen("address = '127.0.0.2:2000'")), None);
    check(&(listen("address = '127.0.0.1:0'") + &listen("address = '127.0.0.1:0'")), None);
    check(&(listen("path = '/run/a'") + &listen("path = '/run/b'")), None);
}

#[test]
fn a_name_is_a_name_alone_and_http_gives_no_shares() {
    let http =
        |line: &str| format!("[[listen]]\nprotocol = 'http'\naddress = '127.0.0.1:2000'\n{line}\n");
    check(&http("names = ['rng.example.org', 'b_1']"), None);
    for name in ["a.example.org:80", "http://a.example.org", "*.example.org", ""] {
        let found = format!("found {name:?}; want a name such as \"rng.example.org\"");
        check(&http(&format!("names = [{name:?}]")), Some(&format!("/n:7: names: {found}")));
    }
    let why = "/n:7: weight: has no effect with protocol = \"http\"; remove it";
    check(&http("weight = 2"), Some(why));
}
