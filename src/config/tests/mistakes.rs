//! What each mistake gets as an answer, word by word; and that no text makes it panic or
//! show a secret.

use super::{KEY_1, KEY_2, KEY_3, with_keys};
use crate::config::{ClientDefaults, Config, parse_clients};
use proptest::prelude::*;
use std::path::Path;

/// Four lines; what follows starts in line 5.
const SERVER: &str = "mode = 'server'\n[server]\nprivate-key = '{1}'\n\
                      clients-file = '/nowhere/clients.toml'\n";
/// Three lines.
const CLIENT: &str = "mode = 'client'\n[client]\nprivate-key = '{1}'\n";
/// Six lines.
const UPSTREAM: &str = "mode = 'client'\n[client]\nprivate-key = '{1}'\n\
                        [[upstream]]\naddress = 'a.example'\npublic-key = '{2}'\n";
/// Three lines.
const ALICE: &str = "[[client]]\nname = 'alice'\npublic-key = '{2}'\n";

/// The text, and the answer.
type Mistakes = [(&'static str, &'static str)];

const TOP_MISTAKES: &Mistakes = &[
    ("", r#"/n: mode: missing; begin the file with mode = "server" or mode = "client""#),
    ("[server]", r#"/n: mode: missing; begin the file with mode = "server" or mode = "client""#),
    ("mdoe = 'server'", "/n:1: mdoe: unknown key at the top of the file; did you mean `mode`?"),
    ("mode = 'servre'", r#"/n:1: mode: found "servre"; want "server" or "client""#),
    (
        "log-to = 'journal'\nmode = 'client'\n[[upstream]]\nssh = 'a'",
        r#"/n:1: log-to: found "journal"; want "auto", "stderr" or "syslog""#,
    ),
    (
        "mode = 'server'\n[server]\nlog-to = 'stderr'",
        "/n:3: log-to: unknown key in [server]; it belongs at the top of the file, before any [table]",
    ),
    ("mode = 1", r#"/n:1: mode: found 1; want "server" or "client""#),
    (
        "mode = 'server'",
        "/n: private-key: missing in [server]; give private-key or private-key-file; `netrng genkey` makes a key",
    ),
    ("mode = 'server'\nmode = 'client'", "/n:2: mode: not valid TOML: duplicate key"),
    ("mode = 'server'\n[server\n", "/n:2: not valid TOML: unclosed table, expected `]`"),
    (
        "\n\nmode = server",
        r#"/n:3: mode: not valid TOML: a value must be a number, true, false, a [list] or stand in "quotes""#,
    ),
    ("mode = \"server\n", "/n:1: mode: not valid TOML: the closing quote is missing"),
    (
        "mode = 'server'\nsample-size = '2 KiB'",
        "/n:2: sample-size: unknown key at the top of the file; it belongs in [source]",
    ),
    (
        "mode = 'client'\nprivate-key = '{2}'",
        "/n:2: private-key: unknown key at the top of the file; it belongs in [client]",
    ),
    (
        "mode = 'server'\n[sever]",
        "/n:2: sever: unknown key at the top of the file; did you mean `server`?",
    ),
    (
        "mode = 'server'\nuser = 'net rng'",
        r#"/n:2: user: found "net rng"; want a user's name, 1 to 64 letters A-Z a-z, digits, `.`, `_` or `-`"#,
    ),
    (
        "mode = 'client'\n[client]\nuser = 'netrng'",
        "/n:3: user: unknown key in [client]; it belongs at the top of the file, before any [table]",
    ),
    ("mode = 'server'\n[[server]]", "/n:2: server: found a list; want a table, [server]"),
    ("mode = 'server'\nserver = 5", "/n:2: server: found 5; want a table, [server]"),
    (
        "mode = 'server'\n[server]\nprivate-key = '{2}A'",
        "/n:3: private-key: not a key: want 32 bytes in base64, 44 characters that end in `=`",
    ),
    (
        "mode = 'server'\n[server]\nprivate-key = 12345",
        "/n:3: private-key: not a key: want 32 bytes in base64, 44 characters that end in `=`",
    ),
    (
        "mode = 'server'\n[server]\nprivate-key = {2}",
        r#"/n:3: private-key: not valid TOML: a value must be a number, true, false, a [list] or stand in "quotes""#,
    ),
    (
        "mode = 'server'\n[server]\nprivate-key-file = '/nowhere/key'",
        "/n:3: private-key-file: /nowhere/key: no such file; `netrng genkey` makes one",
    ),
    (
        "mode = 'server'\n[server]\nprivate-key-file = '/'",
        "/n:3: private-key-file: /: it is a folder, not a file",
    ),
    (
        "mode = 'client'\n[[upstream]]\naddress = 'a'\npublic-key = '{2}'",
        "/n: private-key: missing in [client]; give private-key or private-key-file; `netrng genkey` makes a key",
    ),
];

const SERVER_MISTAKES: &Mistakes = &[
    (
        "mode = 5",
        "/n:5: mode: unknown key in [server]; it belongs at the top of the file, before any [table]",
    ),
    (
        "[sink]",
        r#"/n:5: sink: has no effect with mode = "server"; remove it, or use a file of its own"#,
    ),
    ("stock = 5", "/n:5: stock: unknown key in [server]; it belongs in [source]"),
    (
        "frobnicate = 1",
        "/n:5: frobnicate: unknown key in [server]; the keys here are listen, tap-socket, status-socket, private-key, private-key-file, clients-file, max-clients, max-waiting, max-handshakes, max-handshakes-per-address, handshakes-per-s, handshakes-per-s-per-address, handshake-timeout, idle-timeout, write-timeout, max-round, headroom",
    ),
    ("[[listen]]", "/n:5: protocol: missing in [[listen]]; say what is spoken there"),
    (
        "[[listen]]\nprotocol = 'ftp'",
        r#"/n:6: protocol: found "ftp"; want "netrng", "egd" or "http""#,
    ),
    (
        "[[listen]]\nprotocol = 'egd'",
        "/n:5: address: missing in [[listen]]; give it, or for a unix socket `path`",
    ),
    (
        "[[listen]]\nprotocol = 'egd'\naddress = 'localhost'",
        r#"/n:7: address: found "localhost"; want a numeric address and a port such as "127.0.0.1:8888" or "[::1]:8888""#,
    ),
    (
        "[[listen]]\nprotocol = 'egd'\naddress = '0.0.0.0:8888'",
        "/n:7: address: 0.0.0.0:8888 is not this machine alone, and egd sends the bytes in clear: whoever is on the way can read and change them; use 127.0.0.1 or a `path`, or write allow-plaintext = true",
    ),
    (
        "[[listen]]\nprotocol = 'egd'\naddress = '127.0.0.1:1'\npath = '/a'",
        "/n:8: path: stands beside address; a listener has one place, so give it two tables",
    ),
    (
        "[[listen]]\nprotocol = 'egd'\npath = '/a'\nmode = 'rw'",
        r#"/n:8: mode: found "rw"; want permissions such as "0660""#,
    ),
    (
        "[[listen]]\nprotocol = 'egd'\npath = '/a'\nnames = ['a.b']",
        "/n:8: names: is only for protocol = \"http\"; remove it",
    ),
    (
        "[[listen]]\nprotocol = 'http'\naddress = '127.0.0.1:1'\nnames = [1]",
        "/n:8: names: found 1; want a name such as \"rng.example.org\"",
    ),
    (
        "[[listen]]\nprotocol = 'http'\naddress = '127.0.0.1:1'\nbalancers = ['::1']",
        "/n:8: balancers: has no effect with protocol = \"http\"; remove it",
    ),
    (
        "[[listen]]\nprotocol = 'netrng'\naddress = '::1'\ngreet = 64",
        "/n:8: greet: is only for protocol = \"egd\"; remove it",
    ),
    ("max-clients = 0", "/n:5: max-clients: found 0; want a whole number from 1 to 65536"),
    ("max-clients = -3", "/n:5: max-clients: found -3; want a whole number from 1 to 65536"),
    ("max-clients = 2.5", "/n:5: max-clients: found 2.5; want a whole number from 1 to 65536"),
    (
        "max-clients = 'many'",
        r#"/n:5: max-clients: found "many"; want a whole number from 1 to 65536"#,
    ),
    (
        "max-clients = 99999999999999999999999",
        "/n:5: max-clients: found 99999999999999999999999; want a whole number from 1 to 65536",
    ),
    ("max-clients = true", "/n:5: max-clients: found true; want a whole number from 1 to 65536"),
    ("max-clients = [1]", "/n:5: max-clients: found a list; want a whole number from 1 to 65536"),
    (
        "max-clients = 2026-01-01",
        "/n:5: max-clients: found a date; want a whole number from 1 to 65536",
    ),
    (
        "listen = 'localhost:8989'",
        r#"/n:5: listen: found "localhost:8989"; want a numeric address such as "0.0.0.0:8989", "[::]:8989" or "192.0.2.1""#,
    ),
    ("listen = []", "/n:5: listen: found a list of 0; want 1 to 16 addresses"),
    (
        "listen = ['::', '[::]:8989']",
        "/n:5: listen: [::]:8989 stands twice in the list; remove one",
    ),
    (
        "listen = [\n  '::',\n  8989,\n]",
        r#"/n:7: listen: found 8989; want a numeric address such as "0.0.0.0:8989", "[::]:8989" or "192.0.2.1""#,
    ),
    (
        "handshake-timeout = 5",
        r#"/n:5: handshake-timeout: found 5; want a time from 100 ms to 1 h; write it as "250 ms", "5 s", "2 min" or "1 h""#,
    ),
    ("idle-timeout = '2 h'", r#"/n:5: idle-timeout: found "2 h"; want a time from 100 ms to 1 h"#),
    (
        "write-timeout = '5 sec'",
        r#"/n:5: write-timeout: found "5 sec"; want a time from 100 ms to 1 h; write it as "250 ms", "5 s", "2 min" or "1 h""#,
    ),
    ("headroom = 1.5", "/n:5: headroom: found 1.5; want a number from 0.1 to 1"),
    ("headroom = '90 %'", r#"/n:5: headroom: found "90 %"; want a number from 0.1 to 1"#),
    ("headroom = nan", "/n:5: headroom: found nan; want a number from 0.1 to 1"),
    (
        "private-key-file = 'k'",
        "/n:5: private-key-file: stands beside private-key; give only one of the two",
    ),
    (
        "[source]\nsampel-size = '2 KiB'",
        "/n:6: sampel-size: unknown key in [source]; did you mean `sample-size`?",
    ),
    (
        "[source]\nsample-size = '3 MiB'",
        r#"/n:6: sample-size: found "3 MiB"; want a size from 64 B to 32 KiB"#,
    ),
    (
        "[source]\nsample-size = '2 kb'",
        r#"/n:6: sample-size: found "2 kb"; want a size from 64 B to 32 KiB; write it as "64 B", "10 kB" or "2 KiB""#,
    ),
    ("[source]\nsample-size = 32", "/n:6: sample-size: found 32; want a size from 64 B to 32 KiB"),
    (
        "[source]\nsample-size = false",
        "/n:6: sample-size: found false; want a size from 64 B to 32 KiB",
    ),
    (
        "[source]\nsample-size = '32 KiB'\nstock = 65536",
        "/n:7: stock: found 65536; want at most 4096: 128 MiB of samples of this size",
    ),
    (
        "[source]\nmin-entropy = 9",
        r#"/n:6: min-entropy: found 9; want a number from 0 to 8, or "auto""#,
    ),
    (
        "[source]\nmin-entropy = 'high'",
        r#"/n:6: min-entropy: found "high"; want a number from 0 to 8, or "auto""#,
    ),
    ("[source]\ndevice = ''", r#"/n:6: device: found ""; want a path in quotes"#),
    ("tap-socket = true", r#"/n:5: tap-socket: found true; want a path in quotes, or "none""#),
    (
        "tap-socket = '/2345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234'",
        "/n:5: tap-socket: a socket's path has at most 103 bytes; choose a shorter one, or \"none\"",
    ),
    (
        "[source]\nmax-clients = 5",
        "/n:6: max-clients: unknown key in [source]; it belongs in [server]",
    ),
    (
        "[defaults]\nguarantee = '10 kB/s'\nlimit = '2 KiB/s'",
        "/n:6: guarantee: the guarantee of 10 kB/s is over the limit of 2 KiB/s",
    ),
    (
        "[defaults]\nlimit = '10 kB'",
        r#"/n:6: limit: found "10 kB"; want a rate from 1 B/s to 4 GB/s; write it as "500 B/s", "10 kB/s" or "2 KiB/s", or "none""#,
    ),
    (
        "[defaults]\nlimit = 0",
        r#"/n:6: limit: found 0; want a rate from 1 B/s to 4 GB/s, or "none""#,
    ),
];

const CLIENT_MISTAKES: &Mistakes = &[
    ("", "/n: upstream: missing; a client needs at least one [[upstream]] to draw from"),
    (
        "[source]",
        r#"/n:4: source: has no effect with mode = "client"; remove it, or use a file of its own"#,
    ),
    ("[upstream]", "/n:4: upstream: found a table; want [[upstream]]"),
    (
        "upstream = 1",
        "/n:4: upstream: unknown key in [client]; the keys here are private-key, private-key-file, status-socket",
    ),
    (
        "[[upstream]]",
        r#"/n:4: address: missing in [[upstream]]; give the server's name or address, as in address = "rng.example.org"; or ssh = "user@host", or command = ["program"]"#,
    ),
    (
        "[[upstream]]\naddress = 'a:b:c'",
        r#"/n:5: address: found "a:b:c"; want "host", "host:port", "192.0.2.1:8989" or "[2001:db8::1]:8989""#,
    ),
    (
        "[[upstream]]\naddress = 'a.example'",
        "/n:4: public-key: missing in [[upstream]]; give the server's public key; `netrng pubkey` on the server prints it",
    ),
    (
        "[[upstream]]\naddress = 'a.example'\npublic-key = 'x{2}'",
        "/n:6: public-key: not a key: want 32 bytes in base64, 44 characters that end in `=`",
    ),
];

const UPSTREAM_MISTAKES: &Mistakes = &[
    ("psk = ''", "/n:7: psk: not a key: want 32 bytes in base64, 44 characters that end in `=`"),
    ("psk-file = '/nowhere/psk'", "/n:7: psk-file: /nowhere/psk: no such file"),
    (
        "name = 'a b'",
        r#"/n:7: name: found "a b"; want 1 to 64 letters A-Z a-z, digits, `.`, `_` or `-`"#,
    ),
    (
        "[[upstream]]\naddress = 'b'\npublic-key = '{2}'",
        "/n:9: public-key: upstream a.example:8989 is the same server; remove one of them",
    ),
    (
        "name = 'a'\n[[upstream]]\nname = 'a'\naddress = 'b'\npublic-key = '{3}'",
        r#"/n:9: name: "a" is another upstream's name; change one"#,
    ),
    (
        "[sink]\ntype = 'fifo'",
        r#"/n:7: path: missing in [sink]; say where the FIFO is, as in path = "/run/netrng/fifo""#,
    ),
    (
        "[sink]\ntype = 'tcp'",
        r#"/n:8: type: found "tcp"; want "rngd", "kernel", "fifo" or "stdout""#,
    ),
    (
        "[sink]\ninterval = '1 min'\ntype = 'kernl'\ncolour = 'red'",
        r#"/n:9: type: found "kernl"; want "rngd", "kernel", "fifo" or "stdout""#,
    ),
    ("[sink]\ntype = 5", r#"/n:8: type: found 5; want "rngd", "kernel", "fifo" or "stdout""#),
    ("[sink]\npath = '/x'", r#"/n:8: path: is only for type = "fifo"; remove it"#),
    (
        "[sink]\ntype = 'stdout'\nrngd-command = ['a']",
        r#"/n:9: rngd-command: is only for type = "rngd"; remove it"#,
    ),
    (
        "[sink]\nrngd-command = ['']",
        "/n:8: rngd-command: the program's name is empty; want its name or path first",
    ),
    (
        "[sink]\nrngd-command = [1]",
        "/n:8: rngd-command: found 1; want a word of the command in quotes",
    ),
    (
        "name = 2nd.example.org",
        r#"/n:7: name: not valid TOML: a value must be a number, true, false, a [list] or stand in "quotes""#,
    ),
    (
        "'{2}' = 5",
        "/n:7: unknown key in [[upstream]]; the keys here are address, ssh, command, public-key, private-key, private-key-file, psk, psk-file, ssh-port, identity-file, known-hosts-file, ssh-program, raw, stall-timeout, min-entropy, name",
    ),
    (
        "name = '{2}'",
        "/n:7: name: found a text of 44 characters; want 1 to 64 letters A-Z a-z, digits, `.`, `_` or `-`",
    ),
    ("psk = \"{2}\n", "/n:7: psk: not valid TOML: the closing quote is missing"),
];

/// After a first line, `mode`.
const RAW_MISTAKES: &Mistakes = &[
    (
        "[[upstream]]\ncommand = ['pv']\naddress = 'a.example'",
        "/n:3: command: stands beside address; give only one of the two, and another [[upstream]] for the other",
    ),
    (
        "[[upstream]]\ncommand = ['pv']\npsk = 'x'",
        "/n:4: psk: is only for upstreams with address; remove it",
    ),
    (
        "[[upstream]]\ncommand = ['pv']\nraw = 'x'",
        "/n:4: raw: is only for upstreams with ssh; remove it",
    ),
    (
        "[[upstream]]\nssh = 'a'\npublic-key = 'x'",
        "/n:4: public-key: is only for upstreams with address; remove it",
    ),
    (
        "[[upstream]]\nssh = 'a'\nstall-timeout = '1 s'",
        "/n:4: stall-timeout: is only for raw bytes, of command or of ssh with raw; remove it",
    ),
    (
        "[[upstream]]\nssh = 'a b'",
        r#"/n:3: ssh: found "a b"; want "host" or "user@host", or a name from ssh's configuration; the port goes into ssh-port"#,
    ),
    (
        "[[upstream]]\nssh = 'rng@board:2222'",
        r#"/n:3: ssh: found "rng@board:2222"; want "host" or "user@host", or a name from ssh's configuration; the port goes into ssh-port"#,
    ),
    (
        "[[upstream]]\nssh = '-oProxyCommand=x'",
        r#"/n:3: ssh: found "-oProxyCommand=x"; want "host" or "user@host", or a name from ssh's configuration; the port goes into ssh-port"#,
    ),
    (
        "[[upstream]]\nssh = 'a'\nssh-port = 0",
        "/n:4: ssh-port: found 0; want a whole number from 1 to 65535",
    ),
    (
        "[[upstream]]\nssh = 'a'\nidentity-file = '/k/my key'",
        r"/n:4: identity-file: ssh reads spaces, quotes and \ % $ # its own way; use another path",
    ),
    (
        "[[upstream]]\nssh = 'a'\nraw = ''",
        r#"/n:4: raw: found ""; want a command for the host's shell, as "cat /dev/hwrng""#,
    ),
    (
        "[[upstream]]\nssh = 'a'\nssh-program = 5",
        "/n:4: ssh-program: found 5; want the name or path of OpenSSH's client in quotes",
    ),
    (
        "[[upstream]]\ncommand = []",
        "/n:3: command: found a list of 0; want 1 to 64 words: the program and its arguments",
    ),
    (
        "[[upstream]]\ncommand = ['']",
        "/n:3: command: the program's name is empty; want its name or path first",
    ),
    (
        "[[upstream]]\ncommand = ['pv']\nstall-timeout = '2 h'",
        r#"/n:4: stall-timeout: found "2 h"; want a time from 100 ms to 1 h"#,
    ),
    (
        "[[upstream]]\ncommand = ['pv']\nmin-entropy = 'low'",
        r#"/n:4: min-entropy: found "low"; want a number from 0 to 8, or "auto""#,
    ),
    (
        "[[upstream]]\ncommand = ['pv', 'a']\n[[upstream]]\ncommand = ['/bin/pv', 'b']",
        r#"/n:5: command: another upstream is called "pv"; give this one a name"#,
    ),
    (
        "[[upstream]]\ncommand = ['pv']\n[sink]\ntype = 'kernel'\ncredit = 9",
        "/n:6: credit: found 9; want a number from 0 to 8",
    ),
    (
        "[[upstream]]\ncommand = ['pv']\n[sink]\ntype = 'kernel'\ninterval = '10 ms'",
        r#"/n:6: interval: found "10 ms"; want a time from 1 s to 24 h"#,
    ),
    (
        "[[upstream]]\ncommand = ['pv']\n[sink]\ncredit = 1",
        r#"/n:5: credit: is only for type = "kernel"; remove it"#,
    ),
    (
        "[[upstream]]\ncommand = ['pv']\n[sink]\ntype = 'fifo'\npath = '/f'\ninterval = '1 min'",
        r#"/n:7: interval: is only for type = "kernel"; remove it"#,
    ),
];

const CLIENTS_FILE_MISTAKES: &Mistakes = &[
    ("[[clinet]]", "/n:1: clinet: unknown key at the top of the file; did you mean `client`?"),
    ("[client]", "/n:1: client: found a table; want [[client]]"),
    ("name = 'x'", "/n:1: name: unknown key at the top of the file; it belongs in [[client]]"),
    ("[[client]]", "/n:1: name: missing in [[client]]; give each client a name of its own"),
    (
        "[[client]]\nname = ''",
        r#"/n:2: name: found ""; want 1 to 64 letters A-Z a-z, digits, `.`, `_` or `-`"#,
    ),
    (
        "\n\n[[client]]\nname = 'bob'",
        "/n:3: public-key: missing in [[client]]; give the client's public key; `netrng pubkey` on the client prints it; or give `user`, for a client that comes by SSH",
    ),
    (
        "[[client]]\nname = 'a'\nuser = 5",
        "/n:3: user: found 5; want the name of a user that this machine has, in quotes",
    ),
    (
        "[[client]]\nname = 'a'\nuser = 'no-such-user-here'",
        r#"/n:3: user: found "no-such-user-here"; want the name of a user that this machine has, in quotes"#,
    ),
    (
        "[[client]]\nname = 'a'\nuser = 'root'\npsk-file = 'x'",
        "/n:4: psk-file: is only for clients without `user`; remove one of the two",
    ),
    (
        "[[client]]\nname = 'a'\nuser = 'root'\nallowed = '10.0.0.7'",
        "/n:4: allowed: is only for clients without `user`; remove one of the two",
    ),
    (
        "[[client]]\nname = 'a'\nuser = '1000000'\n[[client]]\nname = 'a'\nuser = 'root'",
        r#"/n:5: name: "a" stands in line 2 already; change one"#,
    ),
];

const ALICE_MISTAKES: &Mistakes = &[
    ("weight = 1001", "/n:4: weight: found 1001; want a whole number from 1 to 1000"),
    ("wieght = 1", "/n:4: wieght: unknown key in [[client]]; did you mean `weight`?"),
    (
        "guarantee = '2 kB'",
        r#"/n:4: guarantee: found "2 kB"; want a rate from 0 B/s to 4 GB/s; write it as "500 B/s", "10 kB/s" or "2 KiB/s""#,
    ),
    (
        "guarantee = '5 GB/s'",
        r#"/n:4: guarantee: found "5 GB/s"; want a rate from 0 B/s to 4 GB/s"#,
    ),
    (
        "guarantee = '2 kB/s'\nlimit = '1 kB/s'",
        "/n:4: guarantee: the guarantee of 2 kB/s is over the limit of 1 kB/s",
    ),
    ("max-sessions = 0", "/n:4: max-sessions: found 0; want a whole number from 1 to 1000"),
    (
        "allowed = []",
        "/n:4: allowed: found a list of 0; want 1 to 64 addresses; to allow any address, leave the key out",
    ),
    (
        "allowed = ['192.0.2.0/33']",
        r#"/n:4: allowed: found "192.0.2.0/33"; want an address or block such as "192.0.2.0/24""#,
    ),
    (
        "allowed = 5",
        "/n:4: allowed: found 5; want a list of addresses; to allow any address, leave the key out",
    ),
    (
        "user = 'root'",
        "/n:3: public-key: is only for clients without `user`; remove one of the two",
    ),
    ("psk = 'x'\npsk-file = 'y'", "/n:5: psk-file: stands beside psk; give only one of the two"),
    (
        "[[client]]\nname = 'alice'\npublic-key = '{3}'",
        r#"/n:5: name: "alice" stands in line 2 already; change one"#,
    ),
    (
        "[[client]]\nname = 'bob'\npublic-key = '{2}'",
        "/n:6: public-key: line 3 has the same key; each client needs its own, see `netrng enroll`",
    ),
    (
        "listen = '::'",
        "/n:4: listen: unknown key in [[client]]; the keys here are name, user, public-key, psk, psk-file, weight, guarantee, limit, max-sessions, allowed",
    ),
];

fn answer(text: &str) -> Result<(), String> {
    Config::parse(&with_keys(text), Path::new("/n")).map(drop).map_err(|error| error.to_string())
}

fn clients_answer(text: &str) -> Result<(), String> {
    let clients = parse_clients(&with_keys(text), Path::new("/n"), &ClientDefaults::default());
    clients.map(drop).map_err(|error| error.to_string())
}

fn check(answer: impl Fn(&str) -> Result<(), String>, base: &str, mistakes: &Mistakes) {
    for (text, expected) in mistakes {
        let said = answer(&format!("{base}{text}")).expect_err(text);
        assert_eq!(said, *expected, "{text}");
        assert!(![KEY_1, KEY_2, KEY_3].iter().any(|key| said.contains(&key[..6])), "{said}");
    }
}

#[test]
fn without_a_mistake_nothing_is_said() {
    assert_eq!(answer(SERVER), Ok(()));
    assert_eq!(answer(UPSTREAM), Ok(()));
    assert_eq!(clients_answer(ALICE), Ok(()));
    assert_eq!(clients_answer(""), Ok(()));
}

#[test]
fn mistakes_at_the_top_are_told() {
    check(answer, "", TOP_MISTAKES);
}

#[test]
fn mistakes_of_a_server_are_told() {
    check(answer, SERVER, SERVER_MISTAKES);
}

#[test]
fn mistakes_of_a_client_are_told() {
    check(answer, CLIENT, CLIENT_MISTAKES);
    check(answer, UPSTREAM, UPSTREAM_MISTAKES);
    check(answer, "mode = 'client'\n", RAW_MISTAKES);
}

#[test]
fn mistakes_in_the_clients_file_are_told() {
    check(clients_answer, "", CLIENTS_FILE_MISTAKES);
    check(clients_answer, ALICE, ALICE_MISTAKES);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = (answer(&text), clients_answer(&text));
    }

    #[test]
    fn no_mutation_makes_it_panic_or_show_a_secret(
        which in 0..3usize,
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0..8usize, "[\\[\\]=.'\"#\n{},a-z0-9 -]{0,4}"), 1..6),
    ) {
        let mut text = with_keys([SERVER, UPSTREAM, ALICE][which]);
        text.push_str("[sink]\ntype = 'fifo'\npath = '/f'\n");
        for (at, length, instead) in cuts {
            let start = at.index(text.len());
            let end = (start + length).min(text.len());
            text.replace_range(start..end, &instead);
        }
        for said in [answer(&text), clients_answer(&text)].into_iter().filter_map(Result::err) {
            // Up to six cuts leave a run of 20 of a key's 44 characters in a piece.
            let kept = [KEY_1, KEY_2].iter().any(|key| said.contains(&key[4..24]));
            prop_assert!(!kept, "{} from {}", said, text);
        }
    }
}
