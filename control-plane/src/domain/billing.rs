//! What a billing provider tells of subscriptions, and which tier follows from it.
//!
//! Events come late, twice and in any order. So of each subscription three pieces are kept: how
//! it stands, its newest invoice, and the checkout that it came from. Of each piece the greatest
//! is kept that was ever told, by an order that the events carry in themselves. So every order of
//! arrival leads to the same end, and an event that comes again changes nothing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Who tells what was paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Stripe.
    Stripe,
}

impl Provider {
    /// The provider as it is stored, and named in paths and in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
        }
    }
}

/// How a subscription stands, whatever the provider's own words are (KUM-26).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It has not begun, or nobody knows what it is.
    Incomplete,
    /// It is owed for, or rests.
    PastDue,
    /// It is tried out.
    Trialing,
    /// It is paid for.
    Active,
    /// It is over, for good.
    Canceled,
}

impl Status {
    /// The status as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::PastDue => "past_due",
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::Canceled => "canceled",
        }
    }

    /// Whether it gives its tier (KUM-17).
    pub fn gives(self) -> bool {
        matches!(self, Self::Trialing | Self::Active)
    }
}

/// The event that told of something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source {
    /// When it happened, by the provider's clock: whole seconds.
    pub at: Timestamp,
    /// Its id.
    pub event: String,
}

/// How a subscription stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Whose it is, where it says so itself.
    pub customer_id: Option<String>,
    /// The status.
    pub status: Status,
    /// What is bought, by the provider's ids.
    pub prices: Vec<String>,
    /// Until when it is paid, or will be.
    pub period_end: Option<Timestamp>,
    /// Whether this was said when it was made.
    pub is_first: bool,
    /// Who said it.
    pub source: Source,
}

/// An invoice of a subscription that was paid or could not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoice {
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether it was paid.
    pub paid: bool,
    /// Who said it.
    pub source: Source,
}

/// The checkout that a subscription came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkout {
    /// For whom.
    pub customer_id: String,
    /// Who said it.
    pub source: Source,
}

/// What an event tells of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// How it stands.
    Standing(Standing),
    /// What became of an invoice.
    Invoice(Invoice),
    /// Where it came from.
    Checkout(Checkout),
}

impl News {
    /// The event.
    pub fn source(&self) -> &Source {
        match self {
            Self::Standing(standing) => &standing.source,
            Self::Invoice(invoice) => &invoice.source,
            Self::Checkout(checkout) => &checkout.source,
        }
    }
}

/// All that is known of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id at the provider.
    pub id: String,
    /// How it stands.
    pub standing: Option<Standing>,
    /// Its newest invoice.
    pub invoice: Option<Invoice>,
    /// Where it came from.
    pub checkout: Option<Checkout>,
}

impl Standing {
    /// What is over stays so. Else the later one counts; of those told for the same second, one
    /// that is no longer the first, then the one that gives more, then the greater id.
    fn rank(&self) -> impl Ord + '_ {
        let over = self.status == Status::Canceled;
        let Source { at, event } = &self.source;
        (over, at, !self.is_first, self.status, event)
    }
}

impl Invoice {
    /// The newest invoice counts, and of one invoice what was said last; a payment that was made
    /// in the second in which one failed came after it.
    fn rank(&self) -> impl Ord + '_ {
        let Source { at, event } = &self.source;
        (self.created_at, at, self.paid, event)
    }
}

impl Checkout {
    fn rank(&self) -> impl Ord + '_ {
        &self.source
    }
}

impl Subscription {
    /// One that nothing is known of yet.
    pub fn unknown(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            standing: None,
            invoice: None,
            checkout: None,
        }
    }

    /// Takes what an event tells. Whether it was news.
    pub fn take(&mut self, news: News) -> bool {
        match news {
            News::Standing(new) => keep(&mut self.standing, new, |a, b| a.rank() < b.rank()),
            News::Invoice(new) => keep(&mut self.invoice, new, |a, b| a.rank() < b.rank()),
            News::Checkout(new) => keep(&mut self.checkout, new, |a, b| a.rank() < b.rank()),
        }
    }

    /// Whose it is: whom it names itself, or else the checkout that it came from.
    pub fn customer(&self) -> Option<&str> {
        let named = self.standing.as_ref().and_then(|s| s.customer_id.as_ref());
        let came_for = self.checkout.as_ref().map(|checkout| &checkout.customer_id);
        named.or(came_for).map(String::as_str)
    }

    /// How it stands: as was said last, but past due since an invoice failed after that.
    pub fn status(&self) -> Option<Status> {
        let standing = self.standing.as_ref()?;
        let failed = self
            .invoice
            .as_ref()
            .is_some_and(|invoice| !invoice.paid && invoice.source.at > standing.source.at);
        if failed && standing.status.gives() {
            return Some(Status::PastDue);
        }
        Some(standing.status)
    }

    /// What is bought, as long as it gives anything.
    pub fn given(&self) -> &[String] {
        match (&self.standing, self.status()) {
            (Some(standing), Some(status)) if status.gives() => &standing.prices,
            _ => &[],
        }
    }
}

/// Keeps the greater of two. Whether that is the new one.
fn keep<T>(kept: &mut Option<T>, new: T, less: impl Fn(&T, &T) -> bool) -> bool {
    let is_news = kept.as_ref().is_none_or(|old| less(old, &new));
    if is_news {
        *kept = Some(new);
    }
    is_news
}

#[cfg(test)]
mod tests;
