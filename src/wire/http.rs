//! HTTP/1.1, as much of it as status needs: one request without a body, one answer, the end.
//!
//! Owns which request means which page, and what is refused. What stands on a page is `status`'s.
//!
//! **Names.** A page of a stranger's site could have its name point to this machine and then read
//! what is here as its own (DNS rebinding). The browser then says the stranger's name in `Host`,
//! so that must be an address, a name without dots (which nobody out there can own), or one that
//! the configuration names.

use super::{CodecError, Reply, Request, ServerCodec};
use crate::status::words::{cut, until};
use crate::status::{Answer, Page, SECURITY};
use std::net::Ipv6Addr;
use std::sync::Arc;

/// Longest head of a request, bytes: a browser's has less than 1 kB.
pub const HEAD_LEN_MAX: usize = 8 * 1024;
/// Most fields of a head: a browser's has a dozen.
const FIELDS_MAX: usize = 64;

/// The server's side.
#[derive(Debug)]
pub struct HttpServer {
    /// Names that `Host` may have, beside addresses and names without dots.
    names: Arc<[String]>,
    has_asked: bool,
    wants_head_only: bool,
}

impl HttpServer {
    /// For a connection.
    pub fn new(names: Arc<[String]>) -> Self {
        HttpServer { names, has_asked: false, wants_head_only: false }
    }

    /// What a request asks for.
    fn page(&mut self, request: &httparse::Request<'_, '_>) -> Page {
        let method = request.method.unwrap_or_default();
        self.wants_head_only = method == "HEAD";
        if !self.wants_head_only && method != "GET" {
            return Page::Fault(405);
        }
        let mut hosts = request.headers.iter().filter(|f| f.name.eq_ignore_ascii_case("host"));
        let (field, second) = (hosts.next(), hosts.next());
        // Only requests of HTTP/1.0, which no browser speaks, go without (RFC 9112 §3.2).
        if second.is_some() || field.is_none() && request.version != Some(0) {
            return Page::Fault(400);
        }
        let mut host = field.map_or("", |f| std::str::from_utf8(f.value).unwrap_or("\u{fffd}"));
        let mut path = request.path.unwrap_or_default();
        // As to a proxy; then the field does not count (RFC 9112 §3.2.2).
        if let Some(rest) = path.strip_prefix("http://") {
            let (authority, _) = until(rest, "/");
            (host, path) = (authority, &rest[authority.len()..]);
        }
        if !self.is_ours(host) {
            return Page::Fault(421);
        }
        match until(path, "?").0 {
            "" | "/" => Page::Home,
            "/status" => Page::Table,
            "/watch" => Page::Watch,
            "/status.json" => Page::Json,
            "/metrics" => Page::Metrics,
            "/ready" => Page::Ready,
            _ => Page::Fault(404),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        // Browsers send no others, and those may have dots that are no full stops.
        if !host.is_ascii() {
            return false;
        }
        if let Some(six) = host.strip_prefix('[') {
            return cut(six, "]").is_some_and(|(six, _)| six.parse::<Ipv6Addr>().is_ok());
        }
        let name = until(host, ":").0;
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_address = name.parse::<std::net::Ipv4Addr>().is_ok();
        is_address || !name.contains('.') || self.names.iter().any(|n| n.eq_ignore_ascii_case(name))
    }
}

impl ServerCodec for HttpServer {
    fn decode(
        &mut self,
        input: &mut Vec<u8>,
        _output: &mut Vec<u8>,
    ) -> Result<Option<Request>, CodecError> {
        if self.has_asked {
            input.clear();
            return Ok(None);
        }
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        let page = match request.parse(&input[..input.len().min(HEAD_LEN_MAX)]) {
            Ok(httparse::Status::Complete(_)) => self.page(&request),
            Ok(_) if input.len() <= HEAD_LEN_MAX => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => Page::Fault(431),
            Err(_) => Page::Fault(400),
        };
        self.has_asked = true;
        input.clear();
        Ok(Some(Request::Page(page)))
    }

    fn encode(&mut self, reply: Reply, output: &mut Vec<u8>) -> Result<(), CodecError> {
        let Reply::Page(Answer { code, kind, text }) = reply else {
            return Err(CodecError::OutOfOrder);
        };
        let reason = match code {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed\r\nAllow: GET, HEAD",
            421 => "Misdirected Request",
            431 => "Request Header Fields Too Large",
            _ => "Service Unavailable",
        };
        let (code, len) = (code.to_string(), text.len().to_string());
        let content = if self.wants_head_only { "" } else { &text };
        let parts = [
            "HTTP/1.1 ",
            &code,
            " ",
            reason,
            "\r\nContent-Type: ",
            kind,
            "\r\nContent-Length: ",
            &len,
            "\r\nCache-Control: no-store\r\nConnection: close\r\n",
            SECURITY,
            "\r\n",
            content,
        ];
        parts.iter().for_each(|part| output.extend_from_slice(part.as_bytes()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(text: &str) -> Option<Page> {
        let mut codec = HttpServer::new(Arc::from(["rng.example.org".to_owned()]));
        let mut input = text.as_bytes().to_vec();
        match codec.decode(&mut input, &mut Vec::new()).unwrap() {
            Some(Request::Page(page)) => Some(page),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    fn get(path: &str, host: &str) -> Option<Page> {
        asked(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    #[test]
    fn each_path_is_a_page_and_all_else_is_none() {
        for (path, page) in [
            ("/", Page::Home),
            ("/?a=b", Page::Home),
            ("/status.json", Page::Json),
            ("/metrics", Page::Metrics),
            ("/nothing", Page::Fault(404)),
            ("/metrics/", Page::Fault(404)),
            ("//", Page::Fault(404)),
            ("*", Page::Fault(404)),
        ] {
            assert_eq!(get(path, "localhost"), Some(page), "{path}");
        }
    }

    #[test]
    fn a_strangers_name_is_refused() {
        for host in [
            "localhost",
            "localhost:8990",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:80",
            "board",
            "board.",
            "rng.example.org",
            "RNG.example.org:8990",
            "192.0.2.1",
            "",
        ] {
            assert_eq!(get("/ready", host), Some(Page::Ready), "{host}");
        }
        for host in [
            "evil.example",
            "rng.example.org.evil.example",
            "1.2.3.4.evil.example",
            "[::1",
            "[x]",
            "127.0.0.1.evil.example:80",
            "a.b",
            "0x7f.1",
            "evil\u{3002}example",
        ] {
            assert_eq!(get("/ready", host), Some(Page::Fault(421)), "{host}");
        }
        assert_eq!(asked("GET /ready HTTP/1.0\r\n\r\n"), Some(Page::Ready));
        assert_eq!(asked("GET /ready HTTP/1.1\r\n\r\n"), Some(Page::Fault(400)));
        let mut codec = HttpServer::new(Arc::from([]));
        let mut input = b"GET /ready HTTP/1.1\r\nHost: a\xFF\r\n\r\n".to_vec();
        let asked_in_latin = codec.decode(&mut input, &mut Vec::new());
        assert_eq!(asked_in_latin, Ok(Some(Request::Page(Page::Fault(421)))));
        let two = "GET /ready HTTP/1.1\r\nHost: a\r\nHost: evil.example\r\n\r\n";
        assert_eq!(asked(two), Some(Page::Fault(400)));
    }

    #[test]
    fn what_is_no_request_is_refused_and_one_too_long() {
        assert_eq!(asked("POST / HTTP/1.1\r\nHost: a\r\n\r\n"), Some(Page::Fault(405)));
        assert_eq!(asked("\x16\x03\x01"), Some(Page::Fault(400)));
        assert_eq!(asked("GET / HTTP/1.1\r\nHost: a\r\n"), None);
        let long = "GET / HTTP/1.1\r\nHost: a\r\nX: ".to_owned() + &"x".repeat(HEAD_LEN_MAX);
        assert_eq!(asked(&long), Some(Page::Fault(431)));
        let many = "GET / HTTP/1.1\r\n".to_owned() + &"X: x\r\n".repeat(FIELDS_MAX + 1) + "\r\n";
        assert_eq!(asked(&many), Some(Page::Fault(431)));
        for bad in [
            "GET /\r\n\r\n",
            "GET / HTTP/2\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.0\r\nno header\r\n\r\n",
            // What one program takes for a field, and another does not.
            "GET / HTTP/1.1\r\nHost: a\r\nHost : evil.example\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX\r: x\r\n\r\n",
        ] {
            assert_eq!(asked(bad), Some(Page::Fault(400)), "{bad:?}");
        }
    }

    #[test]
    fn what_others_send_is_heard() {
        for good in [
            "GET /ready HTTP/1.1\r\nHost: a\r\nCookie: gr\u{fc}n=1\r\n\r\n",
            "\r\nGET /ready HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /ready HTTP/1.0\n\n",
            // As through a proxy: then the field does not count.
            "GET http://localhost:8990/ready HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        ] {
            assert_eq!(asked(good), Some(Page::Ready), "{good:?}");
        }
        let strange = "GET http://evil.example/ready HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(asked(strange), Some(Page::Fault(421)));
        assert_eq!(asked("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n"), Some(Page::Home));
    }

    #[test]
    fn head_has_the_length_and_no_content() {
        let mut codec = HttpServer::new(Arc::from([]));
        let mut input = b"HEAD /ready HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n".to_vec();
        assert!(codec.decode(&mut input, &mut Vec::new()).unwrap().is_some());
        assert_eq!(codec.decode(&mut input, &mut Vec::new()), Ok(None), "one a connection");
        let mut output = Vec::new();
        let answer = Answer { code: 200, kind: "text/plain", text: "ready\n".into() };
        codec.encode(Reply::Page(answer), &mut output).unwrap();
        let text = String::from_utf8(output).unwrap();
        assert!(text.contains("Content-Length: 6\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    }

    proptest! {
        #[test]
        fn any_split_of_the_input_gives_the_same_request(cut in 1usize..50) {
            let bytes = b"GET /metrics HTTP/1.1\r\nUser-Agent: x\r\nHost: localhost\r\n\r\n";
            let (mut codec, mut input) = (HttpServer::new(Arc::from([])), Vec::new());
            let mut seen = Vec::new();
            for piece in bytes.chunks(cut) {
                input.extend_from_slice(piece);
                seen.extend(codec.decode(&mut input, &mut Vec::new()).unwrap());
            }
            prop_assert_eq!(seen, [Request::Page(Page::Metrics)]);
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (mut codec, mut input) = (HttpServer::new(Arc::from([])), bytes);
            let _ = codec.decode(&mut input, &mut Vec::new());
        }
    }
}
