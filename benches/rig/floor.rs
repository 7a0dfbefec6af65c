//! The floor: the plainest server there is. A thread a client, blocking calls, no crypto.
//!
//! Owns what netrng's cost is compared with: 4 bytes of request, a read of one sample from
//! the source, a write of it.

use super::load::SAMPLE;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;

/// What a thread needs: a buffer of one sample and some frames.
const STACK: usize = 64 * 1024;

/// Serves until it is killed; says `port NUMBER` on stdout.
pub fn run(source: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is left");
    println!("port {}", listener.local_addr().expect("it is bound").port());
    for socket in listener.incoming() {
        let mut socket = socket.expect("descriptors are left");
        socket.set_nodelay(true).expect("it is connected");
        let mut source = File::open(source).expect("the source is there");
        let serve = move || {
            let (mut request, mut sample) = ([0; 4], [0; SAMPLE as usize]);
            while socket.read_exact(&mut request).is_ok()
                && source.read_exact(&mut sample).is_ok()
                && socket.write_all(&sample).is_ok()
            {}
        };
        std::thread::Builder::new().stack_size(STACK).spawn(serve).expect("threads are left");
    }
}
