//! The answer to a question of what somebody may do: yes, or why not.

use std::fmt;
use std::sync::Arc;

use entitlements::UnknownName;
use manifest::TierName;

use super::license::Unusable;

/// Why the answer is no. Each reason has a stable code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// No box has this id, nor had one.
    BoxUnknown,
    /// The box gave its seat back, or it was taken.
    BoxReleased,
    /// The box's license cannot be used.
    Unusable(Unusable),
    /// Its license has fewer seats than boxes by now, and others came first.
    BoxLimitReached {
        /// How many seats there are.
        limit: u64,
    },
    /// The package is not of the scope that gates guard.
    OutOfScope {
        /// That scope.
        scope: String,
    },
    /// The package is not among those of the license.
    PackageNotEntitled {
        /// The license's tier.
        tier: TierName,
        /// The lowest tier with the package, if one has it.
        comes_with: Option<TierName>,
    },
    /// The catalog has no such feature.
    UnknownFeature(UnknownName),
    /// Neither tier, add-on nor override gives it, or an override takes it.
    FeatureNotEntitled(Arc<str>),
    /// It is switched off for all.
    FeatureSwitchedOff(Arc<str>),
    /// It is for premium users alone.
    PremiumRequired(Arc<str>),
    /// A feature that it requires is off.
    RequirementOff(Arc<str>),
    /// The question is none that can be answered.
    Unsupported,
}

impl Denial {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BoxUnknown => "box_not_found",
            Self::BoxReleased => "box_released",
            Self::Unusable(why) => why.as_str(),
            Self::BoxLimitReached { .. } => "box_limit_reached",
            Self::OutOfScope { .. } => "package_out_of_scope",
            Self::PackageNotEntitled { .. } => "package_not_entitled",
            Self::UnknownFeature(_) => "unknown_feature",
            Self::FeatureNotEntitled(_) => "feature_not_entitled",
            Self::FeatureSwitchedOff(_) => "feature_switched_off",
            Self::PremiumRequired(_) => "premium_required",
            Self::RequirementOff(_) => "requirement_off",
            Self::Unsupported => "unsupported_question",
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BoxUnknown => f.write_str("no box has this id"),
            Self::BoxReleased => f.write_str("the box was released; it may activate again"),
            Self::Unusable(Unusable::Revoked) => f.write_str("the license is revoked, for good"),
            Self::Unusable(Unusable::Suspended) => {
                f.write_str("the license is suspended; reinstate it first")
            }
            Self::Unusable(Unusable::Expired) => {
                f.write_str("the license has expired; renew it by a later `expiresAt`")
            }
            Self::BoxLimitReached { limit } => write!(
                f,
                "the license has {limit} seats by now, and other boxes took theirs earlier; \
                 release one of them"
            ),
            Self::OutOfScope { scope } => {
                write!(f, "only packages of {scope} are decided about here")
            }
            Self::PackageNotEntitled { tier, comes_with } => {
                write!(f, "the package is not in the tier {tier}")?;
                match comes_with {
                    Some(higher) if higher != tier => write!(f, "; it comes with {higher}"),
                    _ => Ok(()),
                }
            }
            Self::UnknownFeature(unknown) => unknown.fmt(f),
            Self::FeatureNotEntitled(feature) => {
                write!(f, "nothing that the subject has gives it `{feature}`")
            }
            Self::FeatureSwitchedOff(feature) => {
                write!(f, "`{feature}` is switched off for all subjects")
            }
            Self::PremiumRequired(feature) => write!(f, "`{feature}` is for premium users"),
            Self::RequirementOff(feature) => {
                write!(f, "`{feature}` requires a feature that is off")
            }
            Self::Unsupported => f.write_str(
                "ask whether a `box` may `download` a `package`, or whether a `subject` may `use` \
                 a `feature`",
            ),
        }
    }
}
