//! Overrides of flags: for one user, for one team, or for everyone.

use std::collections::HashMap;

use super::{FlagContext, FlagValue, Origin};

/// Whom an override is for. The more specific one wins: user, team, platform (TOOL-27).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One user.
    User(String),
    /// One team.
    Team(String),
    /// Everyone.
    Platform,
}

/// The overrides that are known, at most one for a flag and a scope.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    by_flag: HashMap<String, OfFlag>,
}

#[derive(Debug, Clone, Default)]
struct OfFlag {
    users: HashMap<String, FlagValue>,
    teams: HashMap<String, FlagValue>,
    platform: Option<FlagValue>,
}

impl Overrides {
    /// Sets an override, in place of an earlier one for this flag and scope.
    pub fn set(&mut self, flag: &str, scope: Scope, value: FlagValue) {
        let of_flag = self.by_flag.entry(flag.to_owned()).or_default();
        match scope {
            Scope::User(user) => drop(of_flag.users.insert(user, value)),
            Scope::Team(team) => drop(of_flag.teams.insert(team, value)),
            Scope::Platform => of_flag.platform = Some(value),
        }
    }

    /// Takes an override back. Whether there was one.
    pub fn clear(&mut self, flag: &str, scope: &Scope) -> bool {
        let Some(of_flag) = self.by_flag.get_mut(flag) else {
            return false;
        };
        let cleared = match scope {
            Scope::User(user) => of_flag.users.remove(user),
            Scope::Team(team) => of_flag.teams.remove(team),
            Scope::Platform => of_flag.platform.take(),
        };
        cleared.is_some()
    }

    /// Those of a flag that concern whoever asks, the most specific one first.
    pub(super) fn of<'o>(
        &'o self,
        flag: &str,
        context: &FlagContext<'_>,
    ) -> impl Iterator<Item = (Origin, &'o FlagValue)> {
        let of_flag = self.by_flag.get(flag);
        let user = of_flag.zip(context.caller.user());
        let team = of_flag.zip(context.team);
        [
            (
                Origin::User,
                user.and_then(|(all, user)| all.users.get(user)),
            ),
            (
                Origin::Team,
                team.and_then(|(all, team)| all.teams.get(team)),
            ),
            (
                Origin::Platform,
                of_flag.and_then(|all| all.platform.as_ref()),
            ),
        ]
        .into_iter()
        .filter_map(|(origin, value)| value.map(|value| (origin, value)))
    }
}
