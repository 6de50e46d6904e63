//! A caller of a few lines: one request on a connection of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::folder::LIMIT;

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) body: String,
    head: String,
    pub(crate) status: u16,
}

pub(crate) fn get(url: &str, path: &str) -> Reply {
    send(url, &format!("GET {path} HTTP/1.1\r\n"), &[], "")
}

pub(crate) fn get_with(url: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    send(url, &format!("GET {path} HTTP/1.1\r\n"), headers, "")
}

pub(crate) fn post(url: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    send(url, &format!("POST {path} HTTP/1.1\r\n"), headers, body)
}

fn send(url: &str, first: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut request = format!("{first}host: {address}\r\nconnection: close\r\n");
    for &(name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.extend(["content-length: ", &body.len().to_string(), "\r\n\r\n", body]);
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").expect("a reply has a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply {
        body: body.to_owned(),
        head: head.to_owned(),
        status,
    }
}

impl Reply {
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(has, _)| has.eq_ignore_ascii_case(name))
            .map_or_else(|| panic!("no {name} in {}", self.head), |(_, value)| value)
    }

    /// The id under which the call is recorded.
    #[track_caller]
    pub(crate) fn call(&self) -> &str {
        self.header("x-tieline-call")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    #[track_caller]
    pub(crate) fn must_be(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.body);
        self
    }
}
