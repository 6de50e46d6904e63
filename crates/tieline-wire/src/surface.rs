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
    /// The list of models. Both dialects have the same path; a request with an `anthropic-version` header wants
    /// Anthropic's form, which the caller of this function knows.
    Models(Dialect),
    PathUnknown,
}

/// Reads a request line. `path` may carry a query.
pub fn surface(method: &str, path: &str) -> Surface {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let path = path
        .strip_prefix("/v1")
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path);
    let (surface, allow) = match path {
        "/chat/completions" => (Surface::Call(Dialect::OpenaiChat), "POST"),
        "/messages" => (Surface::Call(Dialect::AnthropicMessages), "POST"),
        "/messages/count_tokens" => (Surface::CountTokens, "POST"),
        "/models" => (Surface::Models(Dialect::OpenaiChat), "GET"),
        _ => return Surface::PathUnknown,
    };
    if method == allow {
        surface
    } else {
        Surface::MethodWrong { allow }
    }
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
    [bearer, header("x-api-key"), header("api-key")]
        .into_iter()
        .flatten()
        .map(str::trim)
        .find(|secret| !secret.is_empty())
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
            ("POST", "/models", Surface::MethodWrong { allow: "GET" }),
            ("POST", "/v1", Surface::PathUnknown),
            ("POST", "/v1messages", Surface::PathUnknown),
            ("GET", "/", Surface::PathUnknown),
            ("GET", "", Surface::PathUnknown),
        ] {
            assert_eq!(surface(method, path), expected, "{method} {path}");
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
