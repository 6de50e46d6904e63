//! Which operation a method and a path ask for. Paths are those that the SDKs and command-line tools of each dialect
//! use, with or without the version segment; the query is not looked at (Claude Code sends `?beta=true`).

use tieline_core::Dialect;

/// What a request line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// One answer of a model.
    Call(Dialect),
    /// Anthropic's token count of a request.
    CountTokens,
    /// The path exists for another method, which the `allow` header of the reply names.
    MethodWrong {
        allow: &'static str,
    },
    /// One model or pool, which [`model_asked`] names; in the forms of [`Surface::Models`].
    Model,
    /// The list of models. Both dialects have the same path; a request with an `anthropic-version` header wants
    /// Anthropic's form, which the caller of this function knows.
    Models(Dialect),
    PathUnknown,
    /// Whether the process lives.
    Alive,
    /// Whether it takes calls.
    Ready,
    /// Nothing: clients ask for it to see whether anybody is there (Claude Code sends `HEAD /` and wants any 2xx).
    Root,
}

/// Methods of what is only read; HEAD is GET without its content (RFC 9110, section 9.3.2).
const READ: &str = "GET, HEAD";

/// One path of the public listener.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Its methods, as an `allow` header lists them.
    pub allow: &'static str,
    /// With `/v1` before it or without. What ends with `/{name}` takes any name there.
    pub path: &'static str,
    pub surface: Surface,
}

/// Every path that the public listener has. Whatever carries a model's answer is a [`Surface::Call`], which passes the
/// gate of policy; a test asks all of them.
pub const PATHS: [Path; 8] = [
    path("/chat/completions", "POST", Surface::Call(Dialect::OpenaiChat)),
    path("/messages", "POST", Surface::Call(Dialect::AnthropicMessages)),
    path("/messages/count_tokens", "POST", Surface::CountTokens),
    path("/models", READ, Surface::Models(Dialect::OpenaiChat)),
    path("/models/{name}", READ, Surface::Model),
    path("/healthz", READ, Surface::Alive),
    path("/readyz", READ, Surface::Ready),
    path("/", READ, Surface::Root),
];

const fn path(path: &'static str, allow: &'static str, surface: Surface) -> Path {
    Path { allow, path, surface }
}

/// Reads a request line. `path` may carry a query.
pub fn surface(method: &str, path: &str) -> Surface {
    let path = unversioned(path);
    let Some(found) = PATHS.iter().find(|one| one.fits(path)) else {
        return Surface::PathUnknown;
    };
    if found.allow.split(", ").any(|allowed| allowed == method) {
        found.surface
    } else {
        Surface::MethodWrong { allow: found.allow }
    }
}

impl Path {
    fn fits(&self, path: &str) -> bool {
        match self.path.strip_suffix("{name}") {
            Some(begin) => path.strip_prefix(begin).is_some_and(|name| !name.is_empty()),
            None => self.path == path,
        }
    }
}

/// The name in the path of a [`Surface::Model`], percent-decoded. A name may hold slashes, bare or encoded. `None` if the
/// path is another's, or the name is not UTF-8.
pub fn model_asked(path: &str) -> Option<String> {
    let name = unversioned(path).strip_prefix("/models/")?;
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = match tail {
            [high, low, after @ ..] if *first == b'%' => hex(*high).zip(hex(*low)).map(|pair| (pair, after)),
            _ => None,
        };
        if let Some(((high, low), after)) = escaped {
            bytes.push(high << 4 | low);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// The path without its query and its version.
fn unversioned(path: &str) -> &str {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    path.strip_prefix("/v1")
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path)
}

/// The key that a request carries: `Authorization: Bearer …`, `x-api-key` or `api-key`, on every path, because SDKs of
/// one dialect have sent each of them (Anthropic's changed from the second to the first in its version 2).
///
/// `header` gives a header's value by its name in lower case.
pub fn auth_from_headers<'h>(header: &dyn Fn(&str) -> Option<&'h str>) -> Option<&'h str> {
    let bearer = header("authorization").and_then(|value| {
        let (scheme, secret) = value.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(secret)
    });
    let stated = |secret: &'h str| Some(secret.trim()).filter(|secret| !secret.is_empty());
    bearer
        .and_then(stated)
        .or_else(|| header("x-api-key").and_then(stated))
        .or_else(|| header("api-key").and_then(stated))
}

/// Whether the request header `name` (lower case) goes on to a channel that speaks `far`, when the caller speaks `near`.
/// Such a header takes the place of one of the same name in [`crate::Outgoing::headers`].
pub fn forwards(near: Dialect, far: Dialect, name: &str) -> bool {
    near == far
        && match near {
            Dialect::AnthropicMessages => matches!(name, "anthropic-beta" | "anthropic-version"),
            Dialect::OpenaiChat => name == "openai-beta",
        }
}

/// Whether the reply header `name` (lower case) of a channel goes back to the caller: request ids and processing times.
/// Rate limits do not: they are those of our account there, which parties share.
pub fn returns(name: &str) -> bool {
    matches!(
        name,
        "openai-processing-ms" | "openai-version" | "request-id" | "x-request-id"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found() {
        let openai = Surface::Call(Dialect::OpenaiChat);
        let anthropic = Surface::Call(Dialect::AnthropicMessages);
        for (method, path, expected) in [
            ("POST", "/v1/chat/completions", openai),
            ("POST", "/chat/completions", openai),
            ("POST", "/v1/messages", anthropic),
            ("POST", "/v1/messages?beta=true", anthropic),
            (
                "POST",
                "/v1/messages/count_tokens?beta=true",
                Surface::CountTokens,
            ),
            (
                "GET",
                "/v1/models?limit=1000",
                Surface::Models(Dialect::OpenaiChat),
            ),
            ("GET", "/v1/messages", Surface::MethodWrong { allow: "POST" }),
            ("POST", "/models", Surface::MethodWrong { allow: READ }),
            ("HEAD", "/v1/models", Surface::Models(Dialect::OpenaiChat)),
            ("GET", "/v1/models/m", Surface::Model),
            ("HEAD", "/models/a/b", Surface::Model),
            ("DELETE", "/v1/models/m", Surface::MethodWrong { allow: READ }),
            ("GET", "/v1/models/", Surface::PathUnknown),
            ("HEAD", "/v1/messages", Surface::MethodWrong { allow: "POST" }),
            ("POST", "/v1", Surface::PathUnknown),
            ("POST", "/v1messages", Surface::PathUnknown),
            ("GET", "/healthz", Surface::Alive),
            ("HEAD", "/readyz", Surface::Ready),
            ("POST", "/readyz", Surface::MethodWrong { allow: READ }),
            ("GET", "/", Surface::Root),
            ("HEAD", "/", Surface::Root),
            ("POST", "/", Surface::MethodWrong { allow: READ }),
            ("GET", "", Surface::PathUnknown),
        ] {
            assert_eq!(surface(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn names_in_paths_are_decoded() {
        for (path, expected) in [
            ("/v1/models/m1?x=1", Some("m1")),
            ("/models/meta/llama%203.1", Some("meta/llama 3.1")),
            ("/v1/models/meta%2Fllama", Some("meta/llama")),
            ("/v1/models/100%", Some("100%")),
            ("/v1/models/%zz%4", Some("%zz%4")),
            ("/v1/models/%C3%A9", Some("é")),
            ("/v1/models/%ff", None),
            ("/v1/messages", None),
        ] {
            assert_eq!(model_asked(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn keys_are_found() {
        let find = |list: &'static [(&str, &str)]| {
            auth_from_headers(&move |name: &str| list.iter().find(|(n, _)| *n == name).map(|(_, v)| *v))
        };
        assert_eq!(find(&[("authorization", "Bearer abc")]), Some("abc"));
        assert_eq!(find(&[("authorization", "bearer  abc ")]), Some("abc"));
        assert_eq!(
            find(&[("authorization", "Basic abc"), ("x-api-key", "k")]),
            Some("k")
        );
        assert_eq!(find(&[("authorization", "Bearer "), ("api-key", "k")]), Some("k"));
        assert_eq!(find(&[("authorization", "Bearer"), ("x-api-key", " ")]), None);
        assert_eq!(find(&[]), None);
    }
}
