//! What a flag is for whoever asks: the floor of premium, then the overrides, then the default.

use super::{Flag, FlagValue, Flags, Overrides, UnknownFlag, fits};
use crate::premium::{Caller, PremiumStatus};

/// Who a flag is read for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlagContext<'a> {
    /// Who asks.
    pub caller: Caller<'a>,
    /// The team they act for, if any.
    pub team: Option<&'a str>,
}

impl<'a> FlagContext<'a> {
    /// A user without a team.
    pub fn of_user(user: &'a str) -> Self {
        Self {
            caller: Caller::User(user),
            team: None,
        }
    }
}

/// A flag's value, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// The value.
    pub value: FlagValue,
    /// What decided.
    pub origin: Origin,
}

/// What decided a flag's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// It is for premium users, and whoever asks is none.
    PremiumFloor,
    /// An override for the user.
    User,
    /// An override for the team.
    Team,
    /// An override for everyone.
    Platform,
    /// What was declared.
    Default,
}

impl Origin {
    /// The origin in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PremiumFloor => "premium",
            Self::User => "user",
            Self::Team => "team",
            Self::Platform => "platform",
            Self::Default => "default",
        }
    }
}

impl Evaluation {
    /// Whether the flag is on; a variant never is.
    pub fn is_on(&self) -> bool {
        self.value == FlagValue::Switch(true)
    }
}

impl Flags {
    /// What a flag is for whoever asks. `premium` says whether they are, and matters to flags for
    /// premium users alone.
    pub fn evaluate(
        &self,
        name: &str,
        overrides: &Overrides,
        context: &FlagContext<'_>,
        premium: bool,
    ) -> Result<Evaluation, UnknownFlag> {
        let flag = self.get(name)?;
        let overridden = overridden(flag, overrides, context, premium);
        Ok(overridden.unwrap_or_else(|| Evaluation {
            value: flag.default.clone(),
            origin: Origin::Default,
        }))
    }

    /// The value that an override gives, if one does. A flag that premium denies answers its
    /// floor and not "no override", so that nothing else fills the gap (TOOL-32).
    pub fn overridden(
        &self,
        name: &str,
        overrides: &Overrides,
        context: &FlagContext<'_>,
        premium: bool,
    ) -> Result<Option<Evaluation>, UnknownFlag> {
        let flag = self.get(name)?;
        Ok(overridden(flag, overrides, context, premium))
    }

    /// What a flag is for whoever asks. The claims are asked only where they decide: for a user,
    /// about a flag for premium users (TOOL-29, TOOL-30).
    pub async fn read<C: PremiumStatus + ?Sized>(
        &self,
        claims: &C,
        name: &str,
        overrides: &Overrides,
        context: &FlagContext<'_>,
    ) -> Result<Evaluation, UnknownFlag> {
        let asks = self.get(name)?.premium_only;
        let premium = asks && context.caller.is_premium(claims).await;
        self.evaluate(name, overrides, context, premium)
    }

    /// Whether a flag is on, for code that must go on: one that was not declared, or that has
    /// variants, is off, which is logged (TOOL-33).
    pub fn is_on(
        &self,
        name: &str,
        overrides: &Overrides,
        context: &FlagContext<'_>,
        premium: bool,
    ) -> bool {
        match self.evaluate(name, overrides, context, premium) {
            Ok(Evaluation {
                value: FlagValue::Switch(on),
                ..
            }) => on,
            Ok(_) => {
                tracing::warn!(flag = name, "a flag of variants was read as a switch");
                false
            }
            Err(error) => {
                tracing::warn!(%error, "a flag that was not declared reads as off");
                false
            }
        }
    }

    /// The variant of a flag, for code that must go on: empty for one that was not declared, or
    /// that is on or off, which is logged (TOOL-33).
    pub fn variant(
        &self,
        name: &str,
        overrides: &Overrides,
        context: &FlagContext<'_>,
        premium: bool,
    ) -> std::sync::Arc<str> {
        match self.evaluate(name, overrides, context, premium) {
            Ok(Evaluation {
                value: FlagValue::Variant(variant),
                ..
            }) => variant,
            Ok(_) => {
                tracing::warn!(flag = name, "a switch was read as a flag of variants");
                "".into()
            }
            Err(error) => {
                tracing::warn!(%error, "a flag that was not declared reads as empty");
                "".into()
            }
        }
    }
}

/// What premium or an override decides, before the default.
fn overridden(
    flag: &Flag,
    overrides: &Overrides,
    context: &FlagContext<'_>,
    premium: bool,
) -> Option<Evaluation> {
    // Only users can be premium, whatever the caller of this was told (TOOL-26, TOOL-30).
    if flag.premium_only && !(premium && context.caller.user().is_some()) {
        return Some(Evaluation {
            value: floor(flag),
            origin: Origin::PremiumFloor,
        });
    }
    let mut found = overrides.of(&flag.name, context).filter(|(origin, value)| {
        let fits = fits(flag, value);
        if !fits {
            let scope = origin.as_str();
            tracing::warn!(flag = %flag.name, scope, "an override is none of the flag's values and is ignored");
        }
        fits
    });
    found.next().map(|(origin, value)| Evaluation {
        value: value.clone(),
        origin,
    })
}

/// What a flag for premium users is for the others: off; a choice stays at its default (TOOL-31).
fn floor(flag: &Flag) -> FlagValue {
    match &flag.default {
        FlagValue::Switch(_) => FlagValue::Switch(false),
        FlagValue::Variant(_) => flag.default.clone(),
    }
}
