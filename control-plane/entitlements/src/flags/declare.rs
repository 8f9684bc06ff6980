//! Flags that are declared in code, checked all at once.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Flag, FlagValue, Flags, fits};

/// Flags that are being declared.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    flags: Vec<Flag>,
    taken: HashSet<String>,
}

/// Declarations that contradict each other, or themselves. Each case names the flag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFlags {
    /// A flag without a name.
    #[error("a flag has a name of at least one letter")]
    Unnamed,
    /// Two flags of one name.
    #[error("flag `{0}` is declared twice; a name has one flag")]
    Twice(Arc<str>),
    /// A feature or a limit has this name.
    #[error("`{0}` is a feature or a limit already; give the flag another name")]
    Taken(Arc<str>),
    /// A variant is empty or stands there twice.
    #[error("flag `{0}` has a variant that is empty or given twice")]
    Variants(Arc<str>),
    /// The default is none of the flag's values.
    #[error("the default of flag `{0}` is none of its values")]
    Default(Arc<str>),
}

impl Declared {
    /// A flag that is on or off.
    #[must_use]
    pub fn switch(self, name: &str, default: bool) -> Self {
        self.flag(Flag {
            name: name.into(),
            default: FlagValue::Switch(default),
            variants: Vec::new(),
            premium_only: false,
        })
    }

    /// A flag that is one of several variants.
    #[must_use]
    pub fn choice(self, name: &str, default: &str, variants: &[&str]) -> Self {
        self.flag(Flag {
            name: name.into(),
            default: FlagValue::Variant(default.into()),
            variants: variants.iter().map(|&variant| variant.into()).collect(),
            premium_only: false,
        })
    }

    /// Any flag.
    #[must_use]
    pub fn flag(mut self, flag: Flag) -> Self {
        self.flags.push(flag);
        self
    }

    /// Keeps the flag that was declared last for premium users.
    #[must_use]
    pub fn premium_only(mut self) -> Self {
        if let Some(last) = self.flags.last_mut() {
            last.premium_only = true;
        }
        self
    }

    /// Names that no flag may have, because a feature or a limit has them.
    #[must_use]
    pub fn apart_from<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        self.taken.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// Checks the declarations. From here on they stay as they are.
    pub fn build(self) -> Result<Flags, InvalidFlags> {
        let mut seen = HashSet::new();
        for flag in &self.flags {
            let name = &flag.name;
            if name.is_empty() {
                return Err(InvalidFlags::Unnamed);
            }
            if !seen.insert(Arc::clone(name)) {
                return Err(InvalidFlags::Twice(Arc::clone(name)));
            }
            if self.taken.contains(&**name) {
                return Err(InvalidFlags::Taken(Arc::clone(name)));
            }
            let mut variants = HashSet::new();
            let sound =
                |variant: &Arc<str>| !variant.is_empty() && variants.insert(variant.clone());
            if !flag.variants.iter().all(sound) {
                return Err(InvalidFlags::Variants(Arc::clone(name)));
            }
            if !fits(flag, &flag.default) {
                return Err(InvalidFlags::Default(Arc::clone(name)));
            }
        }
        let flags = self.flags.into_iter();
        Ok(Flags::of(flags.map(|flag| (Arc::clone(&flag.name), flag))))
    }
}
