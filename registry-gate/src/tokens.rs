//! The tokens that were verified before, in bounded memory. A million of them fit in the default.
//!
//! That a token is here says that its signature and its claims were good when it came. Whether it
//! still counts is asked at every request.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use crate::grant::Grant;

/// The part of the memory that `recent` gets.
const RECENT_SHARE: u64 = 64;
/// A slot of a cache, with room for its growth.
const SLOT_BYTES: u64 = 128;

/// Grants by token.
pub(crate) struct Tokens {
    /// By the SHA-256 of a token's text, so that no two texts share an entry and a long text
    /// takes no more room than a short one.
    all: Cache<[u8; 32], Arc<Grant>, Weight>,
    /// By the text itself, for the few tokens that are busy at a moment: the hash of a token of
    /// 2 kB takes longer than all the rest of a decision.
    recent: Cache<Box<str>, Arc<Grant>, Weight>,
}

impl Tokens {
    /// Takes up to about `bytes` of memory.
    pub(crate) fn new(bytes: u64) -> Self {
        let expected = |bytes: u64, each: u64| usize::try_from(bytes / each).unwrap_or(usize::MAX);
        let recent = bytes / RECENT_SHARE;
        let all = bytes - recent;
        Self {
            all: Cache::with_weighter(expected(all, 512), all, Weight),
            recent: Cache::with_weighter(expected(recent, 2048), recent, Weight),
        }
    }

    /// What this token grants, if it was here before.
    pub(crate) fn get(&self, token: &str) -> Option<Arc<Grant>> {
        if let Some(grant) = self.recent.get(token) {
            return Some(grant);
        }
        let grant = self.all.get(&digest(token))?;
        self.recent.insert(token.into(), Arc::clone(&grant));
        Some(grant)
    }

    /// Keeps what a good token grants. Nothing else may come in, so that strangers cannot fill
    /// the memory.
    pub(crate) fn insert(&self, token: &str, grant: &Arc<Grant>) {
        self.all.insert(digest(token), Arc::clone(grant));
    }

    /// How many tokens are kept.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// About what an entry takes in memory, in bytes.
#[derive(Clone)]
struct Weight;

impl Weighter<[u8; 32], Arc<Grant>> for Weight {
    fn weight(&self, _: &[u8; 32], grant: &Arc<Grant>) -> u64 {
        SLOT_BYTES + u64::from(grant.weight())
    }
}

impl Weighter<Box<str>, Arc<Grant>> for Weight {
    /// The grant itself as a rule is in the other cache too.
    fn weight(&self, token: &Box<str>, _: &Arc<Grant>) -> u64 {
        SLOT_BYTES + token.len() as u64
    }
}
