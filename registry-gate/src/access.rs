//! The rule: who asks, and may they have this package. It stands before every route that names
//! a package, before cache, store and upstream are looked at.
//!
//! A [`Permit`] is the proof that the rule was asked and said yes. It is made here and nowhere
//! else, and what serves or stores packages demands one.

use std::collections::BTreeSet;
use std::sync::Arc;

use activation_token::TokenError;
use activation_token::clock::Clock;
use activation_token::credential::CredentialKind;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use manifest::{PackageName, PackageSet};

use crate::grant::Grant;
use crate::refusal::Refusal;
use crate::revocations::Revoked;
use crate::tokens::Tokens;
use crate::view::{NoView, View, Views};

/// Who holds the credential that came with a request.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// A box, by its activation token: it has customer, license and box.
    Box(Arc<Grant>),
    /// A publisher, by its credential's id.
    Publisher(String),
}

impl Caller {
    /// The name npm shows for it: `box-<customer>` (POT-39) or `publisher-<credential>`.
    pub(crate) fn user_name(&self) -> String {
        match self {
            Self::Box(grant) => format!("box-{}", grant.customer_id()),
            Self::Publisher(id) => format!("publisher-{id}"),
        }
    }
}

/// Proof that a caller may read a package.
#[derive(Debug)]
pub(crate) struct Permit {
    name: PackageName,
    caller: Caller,
    gated: bool,
}

impl Permit {
    /// The package that may be read: the only name a handler works with.
    pub(crate) fn name(&self) -> &PackageName {
        &self.name
    }

    /// Who may.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whether the package is of the gated scope. One of these never comes from where the others
    /// come from, nor the other way round.
    pub(crate) fn is_gated(&self) -> bool {
        self.gated
    }
}

/// Proof that a caller may publish a package.
#[derive(Debug)]
pub(crate) struct PublishPermit {
    name: PackageName,
    publisher: String,
}

impl PublishPermit {
    /// The package that may be published.
    pub(crate) fn name(&self) -> &PackageName {
        &self.name
    }

    /// The id of the publisher's credential.
    pub(crate) fn publisher(&self) -> &str {
        &self.publisher
    }

    #[cfg(test)]
    pub(crate) fn for_tests(name: PackageName, publisher: &str) -> Self {
        let publisher = publisher.to_owned();
        Self { name, publisher }
    }

    /// Who may publish a package may read it.
    pub(crate) fn reading(&self) -> Permit {
        Permit {
            name: self.name.clone(),
            caller: Caller::Publisher(self.publisher.clone()),
            gated: true,
        }
    }
}

/// The rule's own state: the view in force, and the tokens that were verified before.
pub(crate) struct Rule {
    views: Views,
    clock: Arc<dyn Clock>,
    tokens: Tokens,
    /// Whether any good token may read names outside the gated scope.
    pass_through: bool,
}

impl Rule {
    /// Holds verified tokens up to about `token_cache_bytes`.
    pub(crate) fn new(
        views: Views,
        clock: Arc<dyn Clock>,
        token_cache_bytes: u64,
        pass_through: bool,
    ) -> Self {
        Self {
            views,
            clock,
            tokens: Tokens::new(token_cache_bytes),
            pass_through,
        }
    }

    /// Whether a fresh view is there.
    pub(crate) fn is_ready(&self) -> Result<(), Refusal> {
        self.with_view(|_, _| ())
    }

    /// Who asks.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        self.with_view(|view, now| self.identify(view, headers, now))?
    }

    /// May the caller read this package?
    pub(crate) fn may_read(
        &self,
        headers: &HeaderMap,
        name: PackageName,
    ) -> Result<Permit, Refusal> {
        self.with_view(|view, now| {
            let caller = self.identify(view, headers, now)?;
            let gated = self.check_read(view, &caller, &name)?;
            Ok(Permit {
                name,
                caller,
                gated,
            })
        })?
    }

    /// Lets `sort` ask about many names at once what [`Self::may_read`] says of each: whether it
    /// is of the gated scope, and nothing if the caller may not read it.
    pub(crate) fn sort<T>(
        &self,
        headers: &HeaderMap,
        sort: impl FnOnce(&dyn Fn(&str) -> Option<bool>) -> T,
    ) -> Result<T, Refusal> {
        self.with_view(|view, now| {
            let caller = self.identify(view, headers, now)?;
            Ok(sort(&|name| {
                let name = PackageName::parse(name).ok()?;
                self.check_read(view, &caller, &name).ok()
            }))
        })?
    }

    /// May the caller publish this package?
    pub(crate) fn may_publish(
        &self,
        headers: &HeaderMap,
        name: PackageName,
    ) -> Result<PublishPermit, Refusal> {
        self.with_view(|view, now| {
            let caller = self.identify(view, headers, now)?;
            check_scope(view, &name)?;
            match caller {
                Caller::Publisher(publisher) => Ok(PublishPermit { name, publisher }),
                Caller::Box(_) => Err(Refusal::PublisherOnly),
            }
        })?
    }

    /// The gated scope, with its `@`.
    pub(crate) fn scope(&self) -> Result<String, Refusal> {
        self.with_view(|view, _| view.scope().to_owned())
    }

    /// Of the packages that the caller may read, those whose names fit, in order: a page of them,
    /// and how many there are. Of a publisher's, who may read all, those of the highest tier and
    /// those that are published.
    pub(crate) fn readable(
        &self,
        headers: &HeaderMap,
        published: &BTreeSet<PackageName>,
        fits: impl Fn(&str) -> bool,
        from: usize,
        size: usize,
    ) -> Result<(Vec<Permit>, usize), Refusal> {
        self.with_view(|view, now| {
            let caller = self.identify(view, headers, now)?;
            // A token may name packages of a scope that was gated before.
            let fits = |name: &&PackageName| is_in_scope(view, name) && fits(name.as_str());
            let names: Vec<&PackageName> = match &caller {
                Caller::Box(grant) => {
                    let set = view.packages(grant);
                    let set = set.ok_or_else(|| unknown_set(view, grant))?;
                    set.iter().filter(fits).collect()
                }
                Caller::Publisher(_) => {
                    let tier = view.highest_tier().into_iter().flat_map(PackageSet::iter);
                    let all: BTreeSet<_> = tier.chain(published).collect();
                    all.into_iter().filter(fits).collect()
                }
            };
            let page = names.iter().skip(from).take(size);
            let permit = |name: &&PackageName| Permit {
                name: (*name).clone(),
                caller: caller.clone(),
                gated: true,
            };
            Ok((page.map(permit).collect(), names.len()))
        })?
    }

    /// How many verified tokens are kept.
    pub(crate) fn tokens_kept(&self) -> usize {
        self.tokens.len()
    }

    /// What a caller is to be told with a good answer. `shown` says whether npm will print it.
    pub(crate) fn notice(&self, caller: &Caller, shown: bool) -> Option<HeaderValue> {
        let license_id = caller.license()?;
        let told = self.with_view(|view, now| view.notices().find(license_id, shown, now));
        told.ok().flatten()
    }

    fn with_view<T>(&self, decide: impl FnOnce(&View, Timestamp) -> T) -> Result<T, Refusal> {
        let now = self.clock.now();
        let decided = self.views.with(now, |view| decide(view, now));
        decided.map_err(|none| match none {
            NoView::Missing => Refusal::NoSnapshot,
            NoView::Stale => Refusal::StaleSnapshot,
            NoView::BundleEnded => Refusal::BundleEnded,
        })
    }

    /// Whether the package is of the gated scope, if the caller may read it.
    fn check_read(
        &self,
        view: &View,
        caller: &Caller,
        name: &PackageName,
    ) -> Result<bool, Refusal> {
        if self.pass_through && !is_in_scope(view, name) {
            return Ok(false);
        }
        check_scope(view, name)?;
        if let Caller::Box(grant) = caller {
            let set = view.packages(grant);
            let set = set.ok_or_else(|| unknown_set(view, grant))?;
            if !set.contains(name.as_str()) {
                return Err(not_entitled(view, grant, name.clone()));
            }
        }
        Ok(true)
    }

    fn identify(
        &self,
        view: &View,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        let token = bearer(headers)?;
        if is_publisher_secret(token) {
            return identify_publisher(view, token, now);
        }
        if let Some(known) = self.tokens.get(token) {
            view.recheck(&known, now).map_err(token_refusal)?;
            check_revocation(view, &known)?;
            return Ok(Caller::Box(known));
        }
        let verified = view.verify(token, self.views.sets(), now);
        let grant = Arc::new(verified.map_err(token_refusal)?);
        check_revocation(view, &grant)?;
        self.tokens.insert(token, &grant);
        Ok(Caller::Box(grant))
    }
}

/// The one bearer token of a request. Two `Authorization` headers are none: who comes first
/// would be a matter of opinion.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::NoToken)?;
    if values.next().is_some() {
        return Err(Refusal::InvalidToken);
    }
    let text = value.to_str().map_err(|_| Refusal::InvalidToken)?;
    let (scheme, token) = text.split_once(' ').ok_or(Refusal::NoToken)?;
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(token)
    } else {
        Err(Refusal::NoToken)
    }
}

fn is_publisher_secret(token: &str) -> bool {
    let rest = token.strip_prefix(CredentialKind::Publisher.prefix());
    rest.is_some_and(|rest| rest.starts_with('_'))
}

fn identify_publisher(view: &View, secret: &str, now: Timestamp) -> Result<Caller, Refusal> {
    let publisher = view.publisher(secret).ok_or(Refusal::InvalidPublisher)?;
    match publisher.expires_at {
        Some(end) if end <= now => Err(Refusal::ExpiredPublisher),
        _ => Ok(Caller::Publisher(publisher.id.clone())),
    }
}

fn check_scope(view: &View, name: &PackageName) -> Result<(), Refusal> {
    if is_in_scope(view, name) {
        return Ok(());
    }
    Err(Refusal::OutOfScope {
        scope: view.scope().to_owned(),
    })
}

/// Whether the name is of the gated scope. Names have no capitals, so this has one spelling.
fn is_in_scope(view: &View, name: &PackageName) -> bool {
    name.scope() == Some(view.scope())
}

fn token_refusal(error: TokenError) -> Refusal {
    match error {
        TokenError::Expired => Refusal::ExpiredToken,
        TokenError::NotYetValid => Refusal::EarlyToken,
        _ => Refusal::InvalidToken,
    }
}

/// Asked at every request: a token that was good a moment ago may not be now.
fn check_revocation(view: &View, grant: &Grant) -> Result<(), Refusal> {
    match view.revoked(grant) {
        None => Ok(()),
        Some(Revoked::License) => Err(Refusal::LicenseRevoked),
        Some(Revoked::Suspended) => Err(Refusal::LicenseSuspended),
        Some(Revoked::Box) => Err(Refusal::BoxReleased),
        Some(Revoked::Superseded) => Err(Refusal::SupersededToken),
        Some(Revoked::NotOfBundle) => Err(Refusal::NotOfBundle),
    }
}

/// Says which tier has a package, and nothing about packages that no tier has: a name that
/// exists and one that does not are refused alike.
fn not_entitled(view: &View, grant: &Grant, name: PackageName) -> Refusal {
    let tier = grant.tier().clone();
    match view.lowest_tier_with(&name) {
        Some(lowest) if !view.is_below(&tier, lowest) => Refusal::OutdatedToken { name, tier },
        lowest => Refusal::NotEntitled {
            upgrade: lowest.cloned(),
            name,
            tier,
        },
    }
}

/// A set that the view lacks is one it has not heard of yet, or one that was dropped.
fn unknown_set(view: &View, grant: &Grant) -> Refusal {
    if grant.issued_at() > view.issued_at() {
        Refusal::SnapshotBehind
    } else {
        Refusal::UnknownSet
    }
}

#[cfg(test)]
mod tests;
