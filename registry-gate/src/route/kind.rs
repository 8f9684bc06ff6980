//! Kinds of routes, as the log and the metrics tell them apart.

use super::Route;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Health,
    Ping,
    WhoAmI,
    Packument,
    Release,
    Tarball,
    DistTags,
    Publish,
    /// Of tags, deprecations and what is published.
    Change,
    Search,
    Audit,
    Keys,
    LogIn,
    Metrics,
    Authorize,
    /// What has no route.
    Unknown,
}

impl Route {
    /// What kind of route it is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Live | Self::Ready => Kind::Health,
            Self::Ping => Kind::Ping,
            Self::WhoAmI => Kind::WhoAmI,
            Self::Packument(_) => Kind::Packument,
            Self::Release(..) => Kind::Release,
            Self::Tarball(..) => Kind::Tarball,
            Self::DistTags(_) | Self::DistTag(..) => Kind::DistTags,
            Self::Publish(_) => Kind::Publish,
            Self::MoveTag(..)
            | Self::RemoveTag(..)
            | Self::Amend(..)
            | Self::Unpublish(..)
            | Self::UnpublishVersion(..) => Kind::Change,
            Self::Search => Kind::Search,
            Self::Audit(_) => Kind::Audit,
            Self::Keys => Kind::Keys,
            Self::LogIn(_) => Kind::LogIn,
            Self::Metrics => Kind::Metrics,
            Self::Authorize(_) => Kind::Authorize,
        }
    }
}

impl Kind {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 16] = [
        Self::Health,
        Self::Ping,
        Self::WhoAmI,
        Self::Packument,
        Self::Release,
        Self::Tarball,
        Self::DistTags,
        Self::Publish,
        Self::Change,
        Self::Search,
        Self::Audit,
        Self::Keys,
        Self::LogIn,
        Self::Metrics,
        Self::Authorize,
        Self::Unknown,
    ];

    /// Its word in the log and in the metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Ping => "ping",
            Self::WhoAmI => "whoami",
            Self::Packument => "packument",
            Self::Release => "release",
            Self::Tarball => "tarball",
            Self::DistTags => "dist_tags",
            Self::Publish => "publish",
            Self::Change => "change",
            Self::Search => "search",
            Self::Audit => "audit",
            Self::Keys => "keys",
            Self::LogIn => "login",
            Self::Metrics => "metrics",
            Self::Authorize => "authorize",
            Self::Unknown => "none",
        }
    }
}
