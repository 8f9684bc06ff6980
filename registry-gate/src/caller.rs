//! What a caller is known by, for headers and the log.

use crate::access::Caller;

impl Caller {
    /// The customer of a box.
    pub(crate) fn customer(&self) -> Option<&str> {
        match self {
            Self::Box(grant) => Some(grant.customer_id()),
            Self::Publisher(_) => None,
        }
    }

    /// The license of a box.
    pub(crate) fn license(&self) -> Option<&str> {
        match self {
            Self::Box(grant) => Some(grant.license_id()),
            Self::Publisher(_) => None,
        }
    }

    /// The id of a box that is bound.
    pub(crate) fn box_id(&self) -> Option<&str> {
        match self {
            Self::Box(grant) => grant.box_id(),
            Self::Publisher(_) => None,
        }
    }

    /// The tier of a box.
    pub(crate) fn tier(&self) -> Option<&str> {
        match self {
            Self::Box(grant) => Some(grant.tier().as_str()),
            Self::Publisher(_) => None,
        }
    }

    /// The credential of a publisher.
    pub(crate) fn publisher(&self) -> Option<&str> {
        match self {
            Self::Box(_) => None,
            Self::Publisher(id) => Some(id),
        }
    }
}
