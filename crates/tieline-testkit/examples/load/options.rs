//! The command line, and the request that it describes.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

pub(crate) struct Options {
    pub(crate) address: SocketAddr,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) connections: u32,
    pub(crate) measured: Duration,
    pub(crate) warmup: Duration,
    pub(crate) calls_max: u64,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Vec<String>,
    pub(crate) is_stream: bool,
    pub(crate) is_json: bool,
    pub(crate) rate: Option<f64>,
    pub(crate) sweep: Option<Duration>,
}

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            authority: String::new(),
            path: String::new(),
            connections: 64,
            measured: Duration::from_secs(5),
            warmup: Duration::ZERO,
            calls_max: u64::MAX,
            body: Vec::new(),
            headers: Vec::new(),
            is_stream: false,
            is_json: false,
            rate: None,
            sweep: None,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--stream" => options.is_stream = true,
                "--json" => options.is_json = true,
                _ => {
                    let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
                    options.set(&word, &value)?;
                }
            }
        }
        if options.authority.is_empty() {
            return Err("--url is missing".to_owned());
        }
        if options.sweep.is_some() && options.rate.is_some() {
            return Err("--sweep-us is of the closed loop, --rate makes an open one".to_owned());
        }
        if options.body.is_empty() {
            options.body = default_body(options.is_stream);
        }
        Ok(options)
    }

    pub(crate) fn set(&mut self, word: &str, value: &str) -> Result<(), String> {
        let wrong = |words: &str| format!("{word} {value}: {words}");
        let number = || {
            value
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite() && *number >= 0.0)
        };
        let seconds = || {
            number()
                .map(Duration::from_secs_f64)
                .ok_or_else(|| wrong("not a number of seconds"))
        };
        match word {
            "--url" => self.set_url(value).map_err(|words| wrong(&words))?,
            "--connections" => {
                self.connections = value
                    .parse()
                    .ok()
                    .filter(|count| *count > 0)
                    .ok_or_else(|| wrong("not a count"))?;
            }
            "--seconds" => self.measured = seconds()?,
            "--warmup" => self.warmup = seconds()?,
            "--calls" => self.calls_max = value.parse().map_err(|_| wrong("not a count"))?,
            "--body" => self.body = std::fs::read(value).map_err(|error| wrong(&error.to_string()))?,
            "--header" if value.contains(':') => self.headers.push(value.to_owned()),
            "--header" => return Err(wrong("not of the form 'name: value'")),
            "--rate" => {
                let rate = number().filter(|rate| *rate > 0.0);
                self.rate = Some(rate.ok_or_else(|| wrong("not a number of calls per second"))?);
            }
            "--sweep-us" => {
                let micros = value.parse().ok().filter(|micros| *micros > 0);
                let micros = micros.ok_or_else(|| wrong("not a number of microseconds"))?;
                self.sweep = Some(Duration::from_micros(micros));
            }
            _ => {
                return Err(format!(
                    "unknown option {word}; the head of this example's source lists them"
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn set_url(&mut self, url: &str) -> Result<(), String> {
        let rest = url.strip_prefix("http://").ok_or("only http:// is spoken")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let with_port = if authority.contains(':') {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let mut addresses = with_port.to_socket_addrs().map_err(|error| error.to_string())?;
        self.address = addresses.next().ok_or("no address")?;
        authority.clone_into(&mut self.authority);
        self.path = format!("/{path}");
        Ok(())
    }

    pub(crate) fn request(&self) -> Vec<u8> {
        let mut head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            self.path,
            self.authority,
            self.body.len()
        );
        for header in &self.headers {
            head.extend([header, "\r\n"]);
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

/// A chat request of 1 KiB.
fn default_body(is_stream: bool) -> Vec<u8> {
    let stream = if is_stream { r#","stream":true"# } else { "" };
    let open =
        format!(r#"{{"model":"scripted"{stream},"max_tokens":256,"messages":[{{"role":"user","content":""#);
    let close = r#""}]}"#;
    let words = "What holds two grids together? ".repeat(40);
    let room = 1024_usize.saturating_sub(open.len() + close.len());
    let content: String = words.chars().take(room).collect();
    format!("{open}{content}{close}").into_bytes()
}
