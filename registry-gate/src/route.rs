//! The grammar of request paths. It reads the raw path, before anything decodes it, so that one
//! address has one meaning for the rule, the caches, the store, the upstream and the log.
//! It refuses and never cleans.

mod kind;

use std::fmt;

use http::Method;
use manifest::PackageName;
use semver::Version;

use crate::tag::Tag;

pub(crate) use kind::Kind;

/// Longest path that is read, in bytes: a name, a file with that name again, and a version.
const PATH_BYTES_MAX: usize = 1024;
/// Longest version, in bytes, so that it always fits a file name.
const VERSION_BYTES_MAX: usize = 128;

/// Longest revision, in bytes.
const REVISION_BYTES_MAX: usize = 100;

/// What a request is about and what it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `GET /livez`.
    Live,
    /// `GET /readyz`.
    Ready,
    /// `GET /-/ping`.
    Ping,
    /// `GET /-/whoami`.
    WhoAmI,
    /// `GET /{name}`.
    Packument(PackageName),
    /// `GET /{name}/{version or tag}`.
    Release(PackageName, Selector),
    /// `GET /{name}/-/{base}-{version}.tgz`.
    Tarball(PackageName, Version),
    /// `GET /-/package/{name}/dist-tags`.
    DistTags(PackageName),
    /// `PUT /{name}`.
    Publish(PackageName),
    /// `GET /-/package/{name}/dist-tags/{tag}`.
    DistTag(PackageName, Tag),
    /// `PUT` or `POST` of the same.
    MoveTag(PackageName, Tag),
    /// `DELETE` of the same.
    RemoveTag(PackageName, Tag),
    /// `PUT /{name}/-rev/{revision}`.
    Amend(PackageName, String),
    /// `DELETE /{name}/-rev/{revision}`.
    Unpublish(PackageName, String),
    /// `DELETE /{name}/-/{base}-{version}.tgz/-rev/{revision}`.
    UnpublishVersion(PackageName, Version, String),
    /// `GET /-/v1/search`.
    Search,
    /// `POST /-/npm/v1/security/…`.
    Audit(Report),
    /// `GET /-/npm/v1/keys`.
    Keys,
    /// Where npm logs in with a name and a password, or asks about whoever did.
    LogIn(LogIn),
    /// `GET /metrics`.
    Metrics,
    /// `/-/gate/authorize`, by any method, with the path that is asked about where that stands
    /// behind it, exactly as it came.
    Authorize(String),
}

/// The forms in which clients ask for known vulnerabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// `advisories/bulk`: names and versions.
    Bulk,
    /// `audits/quick`: a tree.
    Quick,
    /// `audits`: the same.
    Full,
}

/// The addresses of a log-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogIn {
    /// `POST /-/v1/login`, which answers with a page to visit.
    Web,
    /// `PUT /-/user/org.couchdb.user:{name}`. The name does not matter.
    Password,
    /// `/-/npm/v1/tokens`.
    Tokens,
    /// `/-/npm/v1/user`.
    Profile,
}

/// One release of a package, as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selector {
    /// By its version.
    Version(Version),
    /// By a dist-tag.
    Tag(Tag),
}

/// Why a request has no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RouteError {
    /// Outside the grammar: 400.
    #[error("the path is outside the npm name grammar")]
    Malformed,
    /// Well formed, and nothing is there: 404.
    #[error("there is nothing at this address")]
    Unknown,
    /// Something is there, but not for this method: 405. Holds the `Allow` header.
    #[error("this address does not take that method")]
    Method {
        /// The methods that the address takes.
        allow: &'static str,
    },
}

impl Route {
    /// Reads a request's method and the path exactly as it came, without its query.
    pub(crate) fn parse(method: &Method, raw_path: &str) -> Result<Self, RouteError> {
        let resource = resource(raw_path)?;
        match (method, resource) {
            // A log-in is refused and a decision is given whatever the method.
            (_, route @ (Self::LogIn(_) | Self::Authorize(_)))
            | (&Method::POST, route @ Self::Audit(_))
            | (&Method::PUT, route @ Self::Amend(..))
            | (&Method::DELETE, route @ Self::UnpublishVersion(..)) => Ok(route),
            (&Method::DELETE, Self::Amend(name, revision)) => Ok(Self::Unpublish(name, revision)),
            (_, Self::Amend(..)) => Err(RouteError::Method {
                allow: "PUT, DELETE",
            }),
            (_, Self::UnpublishVersion(..)) => Err(RouteError::Method { allow: "DELETE" }),
            (&Method::PUT | &Method::POST, Self::DistTag(name, tag)) => {
                Ok(Self::MoveTag(name, tag))
            }
            (&Method::DELETE, Self::DistTag(name, tag)) => Ok(Self::RemoveTag(name, tag)),
            (_, Self::Audit(_)) => Err(RouteError::Method { allow: "POST" }),
            (&Method::GET | &Method::HEAD, route) => Ok(route),
            (_, Self::DistTag(..)) => Err(RouteError::Method {
                allow: "GET, HEAD, PUT, POST, DELETE",
            }),
            (&Method::PUT, Self::Packument(name)) => Ok(Self::Publish(name)),
            (_, Self::Packument(_)) => Err(RouteError::Method {
                allow: "GET, HEAD, PUT",
            }),
            _ => Err(RouteError::Method { allow: "GET, HEAD" }),
        }
    }

    /// The package and the version that it names.
    pub(crate) fn subject(&self) -> (Option<&PackageName>, Option<&Version>) {
        match self {
            Self::Tarball(name, version)
            | Self::Release(name, Selector::Version(version))
            | Self::UnpublishVersion(name, version, _) => (Some(name), Some(version)),
            Self::Packument(name)
            | Self::Release(name, Selector::Tag(_))
            | Self::DistTags(name)
            | Self::DistTag(name, _)
            | Self::MoveTag(name, _)
            | Self::RemoveTag(name, _)
            | Self::Amend(name, _)
            | Self::Unpublish(name, _)
            | Self::Publish(name) => (Some(name), None),
            _ => (None, None),
        }
    }
}

impl Report {
    /// Its address behind the registry's own.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Bulk => "/-/npm/v1/security/advisories/bulk",
            Self::Quick => "/-/npm/v1/security/audits/quick",
            Self::Full => "/-/npm/v1/security/audits",
        }
    }
}

/// Where a gateway asks for decisions.
const AUTHORIZE: &str = "/-/gate/authorize";
/// What stands before the name of whoever logs in with a password.
const USER: &str = "org.couchdb.user:";

/// What stands at a path, told by the route that reads it, or by the one that changes it where
/// there is nothing to read.
fn resource(raw_path: &str) -> Result<Route, RouteError> {
    if let Some(original) = raw_path.strip_prefix(AUTHORIZE)
        && (original.is_empty() || original.starts_with('/'))
    {
        return if original.len() > PATH_BYTES_MAX {
            Err(RouteError::Malformed)
        } else {
            Ok(Route::Authorize(original.to_owned()))
        };
    }
    if raw_path.len() > PATH_BYTES_MAX {
        return Err(RouteError::Malformed);
    }
    let path = raw_path.strip_prefix('/').ok_or(RouteError::Malformed)?;
    if path.is_empty() {
        return Err(RouteError::Unknown);
    }
    let segments = Segments::split(path)?;
    match segments.as_slice() {
        ["livez"] => Ok(Route::Live),
        ["readyz"] => Ok(Route::Ready),
        ["-", "ping"] => Ok(Route::Ping),
        ["metrics"] => Ok(Route::Metrics),
        ["-", "whoami"] => Ok(Route::WhoAmI),
        ["-", "v1", "search"] => Ok(Route::Search),
        ["-", "npm", "v1", "security", "advisories", "bulk"] => Ok(Route::Audit(Report::Bulk)),
        ["-", "npm", "v1", "security", "audits", "quick"] => Ok(Route::Audit(Report::Quick)),
        ["-", "npm", "v1", "security", "audits"] => Ok(Route::Audit(Report::Full)),
        ["-", "npm", "v1", "keys"] => Ok(Route::Keys),
        ["-", "npm", "v1", "tokens"] => Ok(Route::LogIn(LogIn::Tokens)),
        ["-", "npm", "v1", "user"] => Ok(Route::LogIn(LogIn::Profile)),
        ["-", "v1", "login"] => Ok(Route::LogIn(LogIn::Web)),
        ["-", "user", user] if user.strip_prefix(USER).is_some_and(is_user) => {
            Ok(Route::LogIn(LogIn::Password))
        }
        ["-", "package", name @ .., "dist-tags"] => package(name).map(Route::DistTags),
        ["-", "package", name @ .., "dist-tags", tag] => {
            let tag = Tag::parse(tag).map_err(|_| RouteError::Malformed)?;
            package(name).map(|name| Route::DistTag(name, tag))
        }
        parts @ ["-", ..] => well_formed(parts).and(Err(RouteError::Unknown)),
        [name @ .., "-", file, "-rev", text] => {
            let (name, version) = tarball(package(name)?, file)?;
            Ok(Route::UnpublishVersion(name, version, revision(text)?))
        }
        [name @ .., "-", file] => {
            tarball(package(name)?, file).map(|(name, version)| Route::Tarball(name, version))
        }
        // `-rev` could be the base of a name too; a lone scope is no name.
        [name @ .., "-rev", text] if !is_lone_scope(name) => {
            Ok(Route::Amend(package(name)?, revision(text)?))
        }
        [scope, base, selector] => release(package(&[scope, base])?, selector),
        [scope, base] if is_lone_scope(&[scope]) => package(&[scope, base]).map(Route::Packument),
        [name, selector] => release(package(&[name])?, selector),
        [name] => package(&[name]).map(Route::Packument),
        parts => well_formed(parts).and(Err(RouteError::Unknown)),
    }
}

/// At most this many segments are looked at; no route has more.
const SEGMENTS_MAX: usize = 8;

/// The parts of a path between its slashes, none of them empty.
struct Segments<'p> {
    parts: [&'p str; SEGMENTS_MAX],
    len: usize,
}

impl<'p> Segments<'p> {
    fn split(path: &'p str) -> Result<Self, RouteError> {
        let mut segments = Self {
            parts: [""; SEGMENTS_MAX],
            len: 0,
        };
        for part in path.split('/') {
            let place = segments.parts.get_mut(segments.len);
            match place {
                Some(place) if !part.is_empty() => *place = part,
                _ => return Err(RouteError::Malformed),
            }
            segments.len += 1;
        }
        Ok(segments)
    }

    fn as_slice(&self) -> &[&'p str] {
        self.parts.get(..self.len).unwrap_or_default()
    }
}

/// A name in one of its spellings: `name`, `@scope/name`, `@scope%2fname`, `@scope%2Fname`.
fn package(parts: &[&str]) -> Result<PackageName, RouteError> {
    let parsed = match parts {
        [name] => match split_escaped(name) {
            Some((scope, base)) => PackageName::parse(&format!("{scope}/{base}")),
            None => PackageName::parse(name),
        },
        [scope, base] if scope.starts_with('@') => PackageName::parse(&format!("{scope}/{base}")),
        _ => return well_formed(parts).and(Err(RouteError::Unknown)),
    };
    // `-` stands between a name and its file, so it is no name here.
    parsed
        .ok()
        .filter(|name| name.base() != "-")
        .ok_or(RouteError::Malformed)
}

fn split_escaped(segment: &str) -> Option<(&str, &str)> {
    segment
        .split_once("%2f")
        .or_else(|| segment.split_once("%2F"))
        .filter(|(scope, _)| scope.starts_with('@'))
}

/// `order-1.2.3.tgz` of `@acme/order`, and nothing else.
fn tarball(name: PackageName, file: &str) -> Result<(PackageName, Version), RouteError> {
    let version = file
        .strip_prefix(name.base())
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.strip_suffix(".tgz"))
        .and_then(parse_version)
        .ok_or(RouteError::Malformed)?;
    Ok((name, version))
}

fn is_lone_scope(parts: &[&str]) -> bool {
    matches!(parts, [scope] if scope.starts_with('@') && split_escaped(scope).is_none())
}

/// A revision as we make them, or as other registries did: it is only compared.
fn revision(text: &str) -> Result<String, RouteError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if text.len() <= REVISION_BYTES_MAX && text.bytes().all(good) {
        Ok(text.to_owned())
    } else {
        Err(RouteError::Malformed)
    }
}

fn release(name: PackageName, text: &str) -> Result<Route, RouteError> {
    let selector = parse_version(text)
        .map(Selector::Version)
        .or_else(|| Tag::parse(text).ok().map(Selector::Tag));
    Ok(Route::Release(name, selector.ok_or(RouteError::Malformed)?))
}

/// Strict semantic versions only: no leading zeros, no `v`, no blanks, no bytes but ASCII.
pub(crate) fn parse_version(text: &str) -> Option<Version> {
    if text.len() > VERSION_BYTES_MAX {
        return None;
    }
    Version::parse(text).ok()
}

/// A user's name as clients escape it. Nothing is done with it.
fn is_user(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()%@+".contains(&b);
    !name.is_empty() && name.bytes().all(good)
}

/// An address that no route knows may still not hold bytes that none could.
fn well_formed(parts: &[&str]) -> Result<(), RouteError> {
    let good =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@' | b':' | b'+');
    let fits = |part: &&str| !part.starts_with('.') && part.bytes().all(good);
    if parts.iter().all(fits) {
        Ok(())
    } else {
        Err(RouteError::Malformed)
    }
}

impl fmt::Display for Route {
    /// The path in its plain spelling; parsing it gives the same route again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live => f.write_str("/livez"),
            Self::Ready => f.write_str("/readyz"),
            Self::Ping => f.write_str("/-/ping"),
            Self::WhoAmI => f.write_str("/-/whoami"),
            Self::Packument(name) | Self::Publish(name) => write!(f, "/{name}"),
            Self::Release(name, Selector::Version(version)) => write!(f, "/{name}/{version}"),
            Self::Release(name, Selector::Tag(tag)) => write!(f, "/{name}/{tag}"),
            Self::Tarball(name, version) => write!(f, "/{name}/-/{}", tarball_file(name, version)),
            Self::DistTags(name) => write!(f, "/-/package/{name}/dist-tags"),
            Self::DistTag(name, tag) | Self::MoveTag(name, tag) | Self::RemoveTag(name, tag) => {
                write!(f, "/-/package/{name}/dist-tags/{tag}")
            }
            Self::Amend(name, revision) | Self::Unpublish(name, revision) => {
                write!(f, "/{name}/-rev/{revision}")
            }
            Self::UnpublishVersion(name, version, revision) => {
                let file = tarball_file(name, version);
                write!(f, "/{name}/-/{file}/-rev/{revision}")
            }
            Self::Search => f.write_str("/-/v1/search"),
            Self::Audit(report) => f.write_str(report.path()),
            Self::Keys => f.write_str("/-/npm/v1/keys"),
            Self::LogIn(LogIn::Web) => f.write_str("/-/v1/login"),
            Self::LogIn(LogIn::Password) => write!(f, "/-/user/{USER}name"),
            Self::LogIn(LogIn::Tokens) => f.write_str("/-/npm/v1/tokens"),
            Self::LogIn(LogIn::Profile) => f.write_str("/-/npm/v1/user"),
            Self::Metrics => f.write_str("/metrics"),
            Self::Authorize(original) => write!(f, "{AUTHORIZE}{original}"),
        }
    }
}

/// The file name of a tarball: base name, hyphen, version.
pub(crate) fn tarball_file(name: &PackageName, version: &Version) -> String {
    format!("{}-{version}.tgz", name.base())
}

#[cfg(test)]
mod tests;
