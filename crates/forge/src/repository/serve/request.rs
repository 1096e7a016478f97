//! What a client asks for. Pure.
//!
//! Source: RFC 9110, sections 9.3 (methods) and 14 (ranges); RFC 9112, section 9.3 (persistence).

/// How long a request may be, without a body.
pub(super) const LIMIT: usize = 16 << 10;

/// A request that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Whether only the head of the answer is wanted.
    pub(super) head_only: bool,
    /// The path below the root, decoded; `None` where nobody may look.
    pub(super) path: Option<String>,
    /// Which bytes.
    pub(super) range: Option<Range>,
    /// Whether the client wants to go on.
    pub(super) keep_alive: bool,
}

/// Some bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// From this byte to that, or to the end.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A whole request, and how many bytes it takes.
    Whole(Asked, usize),
    /// The beginning of one.
    Partial,
    /// None that is answered, with the status that says so.
    Bad(u16),
}

/// Reads the request that `bytes` begin with.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < LIMIT => return Parsed::Partial,
        Ok(httparse::Status::Partial) => return Parsed::Bad(431),
        Err(_) => return Parsed::Bad(400),
    };
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Parsed::Bad(405),
    };
    let header = |name: &str| {
        let mut headers = request.headers.iter();
        let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok().map(str::trim)
    };
    // A body would be taken for the next request.
    if header("Content-Length").is_some_and(|it| it != "0") || header("Transfer-Encoding").is_some()
    {
        return Parsed::Bad(400);
    }
    let connection = header("Connection").unwrap_or_default().to_ascii_lowercase();
    let asked = Asked {
        head_only,
        path: path(request.path.unwrap_or_default()),
        // Files have no date here that `If-Range` could be compared with: all of the file, then.
        range: header("Range").filter(|_| header("If-Range").is_none()).and_then(range),
        keep_alive: request.version == Some(1) && !connection.contains("close"),
    };
    Parsed::Whole(asked, length)
}

/// The path that a request names, below the root: no way up, no hidden file.
fn path(target: &str) -> Option<String> {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    let decoded = decoded(target.strip_prefix('/')?)?;
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\0');
    decoded.split('/').all(plain).then_some(decoded)
}

/// Source: RFC 3986, section 2.1.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
        bytes.push(digit(digits[0])? << 4 | digit(digits[1])?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// One range of bytes; what asks for several, or is malformed, is as if it were not there.
fn range(value: &str) -> Option<Range> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    match (first, last) {
        ("", last) => Some(Range::Last(number(last)?)),
        (first, "") => Some(Range::From(number(first)?, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Range::From(first, Some(last)))
        }
    }
}

impl Range {
    /// The first byte and how many, of a file of `size` bytes; `None` if it has none of them.
    pub(super) fn of(self, size: u64) -> Option<(u64, u64)> {
        let (first, end) = match self {
            Self::From(first, last) => {
                (first, last.map_or(size, |last| size.min(last.saturating_add(1))))
            }
            Self::Last(count) => (size.saturating_sub(count), size),
        };
        (first < end).then(|| (first, end - first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Asked {
        match parse(text.as_bytes()) {
            Parsed::Whole(asked, length) if length == text.len() => asked,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn only_paths_below_the_root_that_are_not_hidden_are_looked_at() {
        #[rustfmt::skip]
        let cases = [
            ("/dists/a/InRelease",        Some("dists/a/InRelease")),
            ("/pool/a_1%2b2%3a3.deb",     Some("pool/a_1+2:3.deb")),
            ("/pool/a?x=1",               Some("pool/a")),
            ("/",                         None),
            ("/../etc/passwd",            None),
            ("/pool/%2e%2e/%2e%2e/x",     None),
            ("/pool/..%2fx",              None),
            ("/.lock",                    None),
            ("//etc/passwd",              None),
            ("/%00",                      None),
            ("/%2",                       None),
            ("/%zz",                      None),
            ("/%ff",                      None), // no UTF-8
            ("*",                         None),
        ];
        for (target, expected) in cases {
            let asked = asked(&format!("GET {target} HTTP/1.1\r\n\r\n"));
            assert_eq!(asked.path.as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn ranges_are_cut_to_the_file_and_nonsense_is_passed_over() {
        #[rustfmt::skip]
        let cases = [
            ("bytes=0-",                     Some(Some((0, 10)))),
            ("bytes=4-6",                    Some(Some((4, 3)))),
            ("bytes=4-99",                   Some(Some((4, 6)))),
            ("bytes=-3",                     Some(Some((7, 3)))),
            ("bytes=-99",                    Some(Some((0, 10)))),
            ("bytes=0-18446744073709551615", Some(Some((0, 10)))),
            ("bytes=10-",                    Some(None)), // there is no such byte
            ("bytes=-0",                     Some(None)),
            ("bytes=6-4",                    None),
            ("bytes=+1-2",                   None),
            ("bytes=0-1,3-4",                None),
            ("bytes=99999999999999999999-",  None),
            ("lines=0-1",                    None),
        ];
        for (value, expected) in cases {
            let asked = asked(&format!("GET /a HTTP/1.1\r\nRange: {value}\r\n\r\n"));
            assert_eq!(asked.range.map(|range| range.of(10)), expected, "{value}");
        }
        let conditional = "GET /a HTTP/1.1\r\nRange: bytes=1-\r\nIf-Range: \"x\"\r\n\r\n";
        assert_eq!(asked(conditional).range, None);
    }

    #[test]
    fn what_is_no_request_for_a_file_is_refused() {
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(LIMIT));
        #[rustfmt::skip]
        let cases: [(&[u8], Parsed); 7] = [
            (b"GET /a HTTP/1.1\r\nHost: x\r\n",   Parsed::Partial),
            (b"POST /a HTTP/1.1\r\n\r\n",         Parsed::Bad(405)),
            (b"\x16\x03\x01\x02\x00\x01",         Parsed::Bad(400)), // TLS to a plain port
            (b"GET /a\r\n\r\n",                   Parsed::Bad(400)),
            (b"GET /a HTTP/1.1\r\nContent-Length: 3\r\n\r\n",          Parsed::Bad(400)),
            (b"GET /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", Parsed::Bad(400)),
            (long.as_bytes(),                     Parsed::Bad(431)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(parse(bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_connection_is_kept_where_the_client_can_and_wants_to() {
        #[rustfmt::skip]
        let cases = [
            ("GET /a HTTP/1.1\r\n\r\n",                      true),
            ("GET /a HTTP/1.1\r\nConnection: Close\r\n\r\n", false),
            ("GET /a HTTP/1.1\r\nConnection: keep-alive, close\r\n\r\n", false),
            ("GET /a HTTP/1.0\r\n\r\n",                      false),
        ];
        for (text, keep_alive) in cases {
            assert_eq!(asked(text).keep_alive, keep_alive, "{text}");
        }
    }
}
